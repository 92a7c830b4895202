//! `serve ID`: one server, as the supervisor starts it.

use odeon_ensemble::NodeConfig;

use crate::context::Context;
use crate::error::CliError;

pub(crate) async fn serve(context: &Context, id: &str) -> Result<(), CliError> {
    let config = NodeConfig::from_environment(id).map_err(|e| CliError::of("serve", &e))?;
    context.program.roles.serve(config).await.map_err(|e| CliError::of("serve", &e))
}
