//! A site served by supervised workers. `site up` starts it; `site help` shows the rest.

fn main() -> std::process::ExitCode {
    odeon::App::new("site").role("web", site::web::serve).run()
}
