//! `feiqian`: the command line of the suite.

mod acts;
mod ask;
mod audit;
mod backup;
mod bench;
mod certificates;
mod cheques;
mod cli;
mod commands;
mod completions;
mod demo;
#[cfg(feature = "test-faults")]
mod fault;
mod messages;
mod offline;
mod output;
mod passphrase;
mod payment;
mod qr;
mod restore;
mod roles;
mod run;
mod show;
mod simulate;
mod statement;
mod stores;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use feiqian_node::logging;
use feiqian_wire::error::{Code, Fault};

use cli::{Cheque, Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return used_wrongly(&error),
    };
    let as_json = cli.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(&Fault::new(Code::Internal, format!("cannot start: {error}")), as_json);
        }
    };
    match runtime.block_on(dispatch(cli)) {
        Ok(code) => ExitCode::from(code),
        Err(fault) => failed(&fault, as_json),
    }
}

/// Carries out the command; answers the exit code of what is not a fault.
async fn dispatch(cli: Cli) -> Result<u8, Fault> {
    let level = cli.log.as_deref().unwrap_or_else(|| commands::log_level(&cli.command));
    let usage = |error: logging::LoggingError| Fault::new(Code::Usage, error.to_string());
    logging::init(cli.log_format.parse().map_err(usage)?, level).map_err(usage)?;
    #[cfg(feature = "test-faults")]
    fault::watch_messages(&cli.command);
    let as_json = cli.json;
    passphrase::told(cli.passphrase_file);
    match cli.command {
        Command::Center(command) => commands::center(command, as_json).await?,
        Command::Bank(command) => commands::bank(command, as_json).await?,
        Command::Merchant(command) => commands::merchant(command, as_json).await?,
        Command::Wallet(command) => commands::wallet(command, as_json).await?,
        Command::Cheque(Cheque::Show { file, by, html, svg }) => {
            show::show(&file, &by, (html.as_deref(), svg.as_deref()), as_json).await?;
        }
        Command::Verify(args) => output::result(&verify::run(&args.file, &args.by).await?, as_json),
        Command::Audit(args) => return audit::run(&args.homes, as_json).await,
        Command::Demo(args) => demo::run(&args, as_json).await?,
        Command::Bench(args) => bench::dispatch(args, as_json).await?,
        Command::Simulate(args) => return simulate::run(*args, as_json).await,
        Command::Report(args) => return simulate::report(&args, as_json),
        Command::Compare(args) => simulate::compare(&args, as_json)?,
        Command::Completions { shell } => output::line(&completions::script(shell)),
    }
    Ok(0)
}

fn failed(fault: &Fault, as_json: bool) -> ExitCode {
    output::fault(fault, as_json);
    ExitCode::from(output::exit_code(fault))
}

/// Help and version are answers; everything else is a fault, in JSON where that was asked for.
fn used_wrongly(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A reader that hung up is no reason to fail.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let fault = Fault::new(Code::Usage, message).hint("add --help to the command for its arguments");
        output::fault(&fault, true);
    } else {
        let _ = error.print();
    }
    ExitCode::from(output::USED_WRONGLY)
}
