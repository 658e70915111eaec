//! The benchmark, and in other roles the processes that it starts. `cargo xtask bench` builds and runs it.

use std::{env, error::Error, fs, net::SocketAddr, process::ExitCode};

use luthien_tests::bench::{
    judge, relay,
    run::{Options, run},
    table::table,
    upstream,
};

type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "luthien-bench [--quick] [--seconds N] [--only nothing|passed|replaced|whole] [--out FILE]";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    // One thread, whatever the role: what is measured is the same for all.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(role(&args)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("luthien-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn role(args: &[String]) -> Result<(), Failure> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["upstream"] => match upstream::serve().await? {},
        ["relay", upstream] => match relay::serve(upstream.parse()?, None).await? {},
        ["relay", upstream, judge] => {
            match relay::serve(upstream.parse()?, Some(judge.parse::<SocketAddr>()?)).await? {}
        }
        ["judge"] => Ok(judge::serve().await?),
        options => measure(options).await,
    }
}

async fn measure(args: &[&str]) -> Result<(), Failure> {
    let mut options = Options { quick: false, seconds: 5.0, only: None };
    let mut out = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().copied().ok_or(USAGE);
        match *arg {
            "--quick" => options.quick = true,
            "--seconds" => options.seconds = value()?.parse()?,
            "--only" => options.only = Some(value()?.parse()?),
            "--out" => out = Some(value()?),
            _ => return Err(USAGE.into()),
        }
    }
    let mut rows = Vec::new();
    let written = |rows: &[_]| out.map_or(Ok(()), |file| fs::write(file, table(rows)));
    let mut kept = Ok(());
    run(&options, |row| {
        rows.push(row);
        // Row by row: what is measured is not lost when the rest is not waited for.
        kept = written(&rows);
    })
    .await?;
    kept?;
    println!("{}", table(&rows));
    Ok(())
}
