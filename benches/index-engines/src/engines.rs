//! The engines, each as the product would configure it: 16 MiB of cache, commits that reach the kernel.

use std::error::Error;
use std::io;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use heed::types::Bytes;
use heed::{Env, EnvFlags, EnvOpenOptions};
use redb::{ReadableDatabase as _, StorageBackend, TableDefinition};

type Outcome<T> = Result<T, Box<dyn Error>>;

const CACHE_BYTES: usize = 16 << 20;
const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("objects");

pub const ENGINES: [&str; 4] = ["fjall", "redb-fsync", "redb-kernel", "heed"];

pub trait Engine {
    fn commit(&self, batch: &[(Vec<u8>, Vec<u8>)]) -> Outcome<()>;
    fn get(&self, key: &[u8]) -> Outcome<Option<Vec<u8>>>;
    /// Reads entries that start with `prefix`, at most `limit`; returns how many there were.
    fn scan(&self, prefix: &[u8], limit: usize) -> Outcome<usize>;
}

pub fn open(name: &str, dir: &Path) -> Outcome<Box<dyn Engine>> {
    Ok(match name {
        "fjall" => Box::new(Fjall::open(dir)?),
        "redb-fsync" => Box::new(Redb::open(dir, true)?),
        "redb-kernel" => Box::new(Redb::open(dir, false)?),
        "heed" => Box::new(Lmdb::open(dir)?),
        _ => return Err(format!("no engine \"{name}\"").into()),
    })
}

struct Fjall {
    objects: Keyspace,
    database: Database,
}

impl Fjall {
    fn open(dir: &Path) -> Outcome<Self> {
        let database = Database::builder(dir)
            .cache_size(CACHE_BYTES as u64)
            .max_journaling_size(64 << 20)
            .worker_threads(2)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(2 << 20);
        Ok(Self { objects: database.keyspace("objects", options)?, database })
    }
}

impl Engine for Fjall {
    fn commit(&self, entries: &[(Vec<u8>, Vec<u8>)]) -> Outcome<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        for (key, value) in entries {
            batch.insert(&self.objects, key.as_slice(), value.as_slice());
        }
        Ok(batch.commit()?)
    }

    fn get(&self, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
        Ok(self.objects.get(key)?.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8], limit: usize) -> Outcome<usize> {
        let mut bytes = 0;
        let mut count = 0;
        for entry in self.objects.prefix(prefix).take(limit) {
            let (key, value) = entry.into_inner()?;
            bytes += key.len() + value.len();
            count += 1;
        }
        std::hint::black_box(bytes);
        Ok(count)
    }
}

/// A redb file without fsync: its commits then survive SIGKILL and not loss of power, as the others'.
#[derive(Debug)]
struct KernelBackend(redb::backends::FileBackend);

impl StorageBackend for KernelBackend {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.read(offset, out)
    }
    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        self.0.set_len(length)
    }
    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write(offset, data)
    }
    fn close(&self) -> Result<(), io::Error> {
        self.0.close()
    }
}

struct Redb(redb::Database);

impl Redb {
    fn open(dir: &Path, fsync: bool) -> Outcome<Self> {
        let path = dir.join("index.redb");
        let mut builder = redb::Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = if fsync {
            builder.create(path)?
        } else {
            let options = std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            builder
                .create_with_backend(KernelBackend(redb::backends::FileBackend::new(options)?))?
        };
        Ok(Self(database))
    }
}

impl Engine for Redb {
    fn commit(&self, entries: &[(Vec<u8>, Vec<u8>)]) -> Outcome<()> {
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (key, value) in entries {
                table.insert(key.as_slice(), value.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        Ok(table.get(key)?.map(|value| value.value().to_vec()))
    }

    fn scan(&self, prefix: &[u8], limit: usize) -> Outcome<usize> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let mut bytes = 0;
        let mut count = 0;
        for entry in table.range(prefix..)?.take(limit) {
            let (key, value) = entry?;
            if !key.value().starts_with(prefix) {
                break;
            }
            bytes += key.value().len() + value.value().len();
            count += 1;
        }
        std::hint::black_box(bytes);
        Ok(count)
    }
}

struct Lmdb {
    env: &'static Env,
    objects: heed::Database<'static, Bytes, Bytes>,
}

impl Lmdb {
    fn open(dir: &Path) -> Outcome<Self> {
        let mut options = EnvOpenOptions::new();
        options.map_size(8 << 30);
        // SAFETY: a file of our own, opened once, on a local disk; without fsync it survives the end of
        // the process, which is all that is measured.
        let env = unsafe {
            options.flags(EnvFlags::NO_SYNC);
            options.open(dir)?
        };
        // Leaked, as databases borrow from their environment and the process ends soon.
        let env: &'static Env = Box::leak(Box::new(env));
        let opened = env.create_databases_and_commit(env.write_txn()?, |opener, transaction| {
            let objects = opener.create_database::<Bytes, Bytes>(transaction, None)?;
            Ok::<_, heed::Error>(heed::CommitOrAbort::<_, ()>::Commit(objects))
        });
        Ok(Self { env, objects: opened?.unwrap_commit() })
    }
}

impl Engine for Lmdb {
    fn commit(&self, entries: &[(Vec<u8>, Vec<u8>)]) -> Outcome<()> {
        let mut transaction = self.env.write_txn()?;
        for (key, value) in entries {
            self.objects.put(&mut transaction, key, value)?;
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
        let transaction = self.env.read_txn()?;
        Ok(self.objects.get(&transaction, key)?.map(<[u8]>::to_vec))
    }

    fn scan(&self, prefix: &[u8], limit: usize) -> Outcome<usize> {
        let transaction = self.env.read_txn()?;
        let mut bytes = 0;
        let mut count = 0;
        for entry in self.objects.prefix_iter(&transaction, prefix)?.take(limit) {
            let (key, value) = entry?;
            bytes += key.len() + value.len();
            count += 1;
        }
        std::hint::black_box(bytes);
        Ok(count)
    }
}

/// The longest key that each engine takes, of those that objects may have (names up to 8 KiB).
pub fn longest_keys(dir: &Path) -> Outcome<Vec<(&'static str, usize)>> {
    let mut found = Vec::new();
    for name in ENGINES {
        let dir = dir.join(name);
        std::fs::create_dir_all(&dir)?;
        let engine = open(name, &dir)?;
        let fits = |length: usize| engine.commit(&[(vec![b'k'; length], vec![0])]).is_ok();
        // The greatest length that fits, by bisection; all engines take 400 bytes.
        let (mut low, mut high) = (400_usize, 8 * 1024 + 9);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if fits(middle) { low = middle } else { high = middle }
        }
        found.push((name, low));
        drop(engine);
    }
    std::fs::remove_dir_all(dir)?;
    Ok(found)
}
