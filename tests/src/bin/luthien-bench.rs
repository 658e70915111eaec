//! The benchmark, and in other roles the processes that it starts. `cargo xtask bench` builds and runs it.

use std::{env, error::Error, fs, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use luthien_tests::bench::{
    compare, flat, judge, process, relay,
    run::{Options, run},
    running::Setting,
    scenario::Scenario,
    soak, start,
    table::table,
    upstream,
};

type Failure = Box<dyn Error + Send + Sync>;

/// What to measure, and how: see `cargo xtask bench --help`
#[derive(Parser)]
struct Cli {
    #[arg(long)]
    quick: bool,
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    #[arg(long, value_delimiter = ',')]
    only: Vec<Scenario>,
    #[arg(long)]
    out: Option<PathBuf>,
    /// The folder of the other planes' programs
    #[arg(long)]
    base: Option<PathBuf>,
    #[arg(long)]
    soak: Option<u32>,
    #[arg(long)]
    flat: bool,
    #[arg(long)]
    start: bool,
}

fn main() -> ExitCode {
    // One thread, whatever the role: what is measured is the same for all.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(role()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("luthien-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn role() -> Result<(), Failure> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["upstream"] => match upstream::serve().await? {},
        ["relay", upstream] => match relay::serve(upstream.parse()?, None).await? {},
        ["relay", upstream, judge] => {
            match relay::serve(upstream.parse()?, Some(judge.parse::<SocketAddr>()?)).await? {}
        }
        ["judge"] => Ok(judge::serve().await?),
        _ => measure(Cli::parse()).await,
    }
}

async fn measure(cli: Cli) -> Result<(), Failure> {
    let setting = Setting::start(process::own_folder()?)?;
    let said = if cli.start {
        start::run(&setting).await?
    } else if cli.flat {
        flat::run(&setting).await?
    } else if let Some(minutes) = cli.soak {
        soak::run(&setting, &cli.only, minutes).await?
    } else {
        return measure_loads(cli, setting).await;
    };
    cli.out.map_or(Ok(()), |file| fs::write(file, &said))?;
    println!("{said}");
    Ok(())
}

async fn measure_loads(cli: Cli, setting: Setting) -> Result<(), Failure> {
    let options = Options { quick: cli.quick, seconds: cli.seconds, only: cli.only };
    let (mut rows, mut kept, mut said) = (Vec::new(), Ok(()), String::new());
    // Row by row: what is measured is not lost when the rest is not waited for.
    let mut keep = |table: String| {
        said = table;
        if let Some(file) = &cli.out {
            kept = fs::write(file, &said);
        }
    };
    if let Some(programs) = cli.base {
        let base = Setting { programs, ..setting.clone() };
        compare::run(&options, [&base, &setting], |row| {
            rows.push(row);
            keep(compare::table(&rows));
        })
        .await?;
    } else {
        let mut rows = Vec::new();
        run(&options, &setting, |row| {
            rows.push(row);
            keep(table(&rows));
        })
        .await?;
    }
    kept?;
    println!("{said}");
    Ok(())
}
