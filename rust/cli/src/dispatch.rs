//! Which function runs which command.

use aistore_client::Client;

use crate::args::{
    BucketCommand, ClusterCommand, Command, MlCommand, ObjectCommand, ShowCommand, StorageCommand,
};
use crate::failure::Failure;
use crate::output::Output;
use crate::{
    batch, buckets, cluster, copy, edit, get, jobs, list, nodes, promote, put, remove, settings,
    show, storage,
};

/// Runs one command.
pub(crate) async fn execute(
    command: &Command,
    client: &Client,
    out: &mut Output,
) -> Result<(), Failure> {
    match command {
        Command::Show(command) => show_command(command, client, out).await,
        Command::Cluster(ClusterCommand::Show(args)) => cluster::show(client, args, out).await,
        Command::Bucket(command) => bucket_command(command, client, out).await,
        Command::Object(command) => object_command(command, client, out).await,
        Command::Ml(MlCommand::GetBatch(args)) => batch::run(client, args, out).await,
        Command::Ml(MlCommand::LhotseGetBatch(args)) => batch::lhotse::run(client, args, out).await,
        Command::Ls(args) => list::run(client, args, out).await,
        Command::Create(args) => buckets::create(client, args, out).await,
        Command::Rmb(args) => buckets::remove(client, args, out).await,
        Command::Put(args) => put::run(client, args, out).await,
        Command::Get(args) => get::run(client, args, out).await,
        Command::Rmo(args) => remove::run(client, args, out).await,
        Command::Cp(args) => copy::run(client, args, out).await,
        Command::Job(command) => jobs::run(client, command, out).await,
        Command::Start(command) => jobs::start(client, command, out).await,
        Command::Wait(args) => jobs::wait_for(client, args, out).await,
        Command::Stop(args) => jobs::stop(client, args, out).await,
        Command::Storage(command) => storage_command(command, client, out).await,
        Command::Config(command) => settings::run(client, command, out).await,
        Command::Log(command) => nodes::log(client, command, out).await,
        Command::Tls(command) => nodes::tls(client, command, out).await,
        Command::Version => show::version(out),
    }
}

async fn show_command(
    command: &ShowCommand,
    client: &Client,
    out: &mut Output,
) -> Result<(), Failure> {
    match command {
        ShowCommand::Cluster(args) => cluster::show(client, args, out).await,
        ShowCommand::Bucket(args) => buckets::props_show(client, args, out).await,
        ShowCommand::Object(args) => show::object(client, args, out).await,
        ShowCommand::Job(args) => jobs::show(client, args, out).await,
        ShowCommand::Storage(args) => storage::show(client, args, out).await,
        ShowCommand::Config(args) => settings::show(client, args, out).await,
        ShowCommand::Log(args) => nodes::log_show(client, args, out).await,
    }
}

async fn bucket_command(
    command: &BucketCommand,
    client: &Client,
    out: &mut Output,
) -> Result<(), Failure> {
    match command {
        BucketCommand::Create(args) => buckets::create(client, args, out).await,
        BucketCommand::Ls(args) => list::run(client, args, out).await,
        BucketCommand::Rm(args) => buckets::remove(client, args, out).await,
        BucketCommand::Cp(args) => copy::run(client, args, out).await,
        BucketCommand::Mv(args) => copy::rename_bucket(client, args, out).await,
        BucketCommand::Summary(args) => storage::summary::run(client, args, out).await,
        BucketCommand::Props(command) => buckets::props(client, command, out).await,
    }
}

async fn object_command(
    command: &ObjectCommand,
    client: &Client,
    out: &mut Output,
) -> Result<(), Failure> {
    match command {
        ObjectCommand::Put(args) => put::run(client, args, out).await,
        ObjectCommand::Get(args) => get::run(client, args, out).await,
        ObjectCommand::Cat { object } => get::cat(client, object, out).await,
        ObjectCommand::Rm(args) => remove::run(client, args, out).await,
        ObjectCommand::Show(args) => show::object(client, args, out).await,
        ObjectCommand::Mv { from, to } => edit::rename(client, from, to, out).await,
        ObjectCommand::Cp(args) => copy::run(client, args, out).await,
        ObjectCommand::Promote(args) => promote::run(client, args, out).await,
        ObjectCommand::SetCustom(args) => edit::set_custom(client, args, out).await,
    }
}

async fn storage_command(
    command: &StorageCommand,
    client: &Client,
    out: &mut Output,
) -> Result<(), Failure> {
    match command {
        StorageCommand::Show(args) | StorageCommand::Disk(args) => {
            storage::disks(client, args, out).await
        }
        StorageCommand::Mountpath(command) => storage::mountpaths::run(client, command, out).await,
        StorageCommand::Mirror(args) => jobs::mirror(client, args, out).await,
        StorageCommand::Summary(args) => storage::summary::run(client, args, out).await,
    }
}
