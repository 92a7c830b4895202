//! `serve ID`: one server, as the supervisor starts it.

use odeon_ensemble::NodeConfig;

use crate::context::Context;
use crate::error::CliError;

pub(crate) async fn serve(context: &Context, id: &str, args: Vec<String>) -> Result<(), CliError> {
    let config = NodeConfig::from_environment(id, args).map_err(|e| CliError::of("serve", &e))?;
    let (id, role) = (config.id.clone(), config.role.clone());
    tracing::info!("{id} begins, role {role}, process {}", std::process::id());
    let outcome = context.program.roles.serve(config).await;
    if outcome.is_ok() {
        tracing::info!("{id} ends");
    }
    outcome.map_err(|e| CliError::of("serve", &e))
}
