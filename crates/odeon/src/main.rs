//! The `odeon` binary: the command line without roles of its own.

fn main() -> std::process::ExitCode {
    odeon::App::new("odeon").run()
}
