//! Tells the node when its source was committed, so that two builds of one commit are the same.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=AISTORE_BUILD_TIME");
    // While developing, a commit must not cost a build.
    if std::env::var("PROFILE").as_deref() == Ok("release")
        && let Some(log) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"])
    {
        println!("cargo::rerun-if-changed={log}");
    }
    let given = || std::env::var("AISTORE_BUILD_TIME").ok().filter(|text| !text.is_empty());
    let time = commit_time().or_else(given).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=AISTORE_COMMIT_TIME={time}");
}

/// When the commit that is checked out was made; `None` outside of a clone, such as in a source package that
/// happens to lie in another repository.
fn commit_time() -> Option<String> {
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    git(&["log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%S+0000"])
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).env("TZ", "UTC").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
