//! What to upload under which names, settled before the first byte moves.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use aistore_core::bucket::validate_object_name;
use aistore_core::template::Template;

use crate::failure::Failure;

/// Deepest directory nesting that is followed.
const MAX_DEPTH: usize = 128;

/// One file to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) size: u64,
}

/// All files to store, and what was left out.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) uploads: Vec<Upload>,
    pub(super) notes: Vec<String>,
}

impl Plan {
    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.uploads.iter().fold(0, |sum, upload| sum.saturating_add(upload.size))
    }
}

/// Plans the upload of files, directories and templates to `destination`, the part after the bucket.
pub(super) fn plan(
    sources: &[String],
    destination: &str,
    recursive: bool,
    include_dir: bool,
) -> Result<Plan, Failure> {
    let paths = expand(sources)?;
    let mut plan = Plan::default();
    let many = paths.len() > 1;
    for path in &paths {
        let meta = fs::metadata(path).map_err(Failure::file("read", path))?;
        if meta.is_dir() {
            let base = if include_dir {
                file_name(&fs::canonicalize(path).map_err(Failure::file("read", path))?)?
            } else {
                String::new()
            };
            let prefix = join(destination, &base);
            walk(path, &prefix, recursive, 0, &mut plan)?;
        } else {
            let name = name_of_file(destination, &file_name(path)?, many);
            plan.uploads.push(Upload { path: path.clone(), name, size: meta.len() });
        }
    }
    check(&plan)?;
    Ok(plan)
}

/// Templates become their files; a file whose name merely looks like one stays itself.
fn expand(sources: &[String]) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for source in sources {
        if Template::is_template(source) && !Path::new(source).exists() {
            paths.extend(Template::parse(source)?.names().map(PathBuf::from));
        } else {
            paths.push(PathBuf::from(source));
        }
    }
    Ok(paths)
}

/// Object name of a single file: the destination is the name, unless it is empty, ends in a slash, or
/// several files share it.
fn name_of_file(destination: &str, base: &str, many: bool) -> String {
    if many || destination.is_empty() || destination.ends_with('/') {
        join(destination, base)
    } else {
        destination.to_owned()
    }
}

/// Joins two parts of a name with exactly one slash; an empty part adds none.
fn join(prefix: &str, name: &str) -> String {
    match (prefix.is_empty(), name.is_empty()) {
        (true, _) => name.to_owned(),
        (_, true) => prefix.to_owned(),
        _ if prefix.ends_with('/') => format!("{prefix}{name}"),
        _ => format!("{prefix}/{name}"),
    }
}

fn file_name(path: &Path) -> Result<String, Failure> {
    let name = path.file_name().unwrap_or_default();
    name.to_str().filter(|name| !name.is_empty()).map(str::to_owned).ok_or_else(|| {
        Failure::usage(format!(
            "\"{}\" has no name that is valid UTF-8: rename it, or give the object's name",
            path.display()
        ))
    })
}

fn walk(
    dir: &Path,
    prefix: &str,
    recursive: bool,
    depth: usize,
    plan: &mut Plan,
) -> Result<(), Failure> {
    if depth > MAX_DEPTH {
        return Err(Failure::usage(format!(
            "\"{}\" is nested deeper than {MAX_DEPTH} directories",
            dir.display()
        )));
    }
    let read = |err| Failure::file("read", dir)(err);
    let mut entries =
        fs::read_dir(dir).map_err(read)?.collect::<Result<Vec<_>, _>>().map_err(read)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut skipped_dirs = 0_usize;
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(Failure::file("read", &path))?;
        // A linked directory could lead in circles; a linked file is what it points to.
        let meta = fs::metadata(&path).map_err(Failure::file("read", &path))?;
        if kind.is_symlink() && meta.is_dir() {
            plan.notes.push(format!("skipped \"{}\": a link to a directory", path.display()));
        } else if meta.is_dir() && recursive {
            walk(&path, &join(prefix, &file_name(&path)?), recursive, depth + 1, plan)?;
        } else if meta.is_dir() {
            skipped_dirs += 1;
        } else if meta.is_file() {
            let name = join(prefix, &file_name(&path)?);
            plan.uploads.push(Upload { path, name, size: meta.len() });
        } else {
            plan.notes.push(format!("skipped \"{}\": not a regular file", path.display()));
        }
    }
    if skipped_dirs > 0 {
        plan.notes.push(format!(
            "skipped the {skipped_dirs} directories in \"{}\": --recursive includes them",
            dir.display()
        ));
    }
    Ok(())
}

/// Refuses bad names and names given twice, before anything is overwritten.
fn check(plan: &Plan) -> Result<(), Failure> {
    if plan.uploads.is_empty() {
        let notes = if plan.notes.is_empty() {
            String::new()
        } else {
            format!(" ({})", plan.notes.join("; "))
        };
        return Err(Failure::usage(format!("no files to upload{notes}")));
    }
    let mut seen: HashMap<&str, &Path> = HashMap::with_capacity(plan.uploads.len());
    for Upload { path, name, .. } in &plan.uploads {
        validate_object_name(name)
            .map_err(|err| Failure::usage(format!("\"{}\": {err}", path.display())))?;
        if let Some(other) = seen.insert(name, path) {
            return Err(Failure::usage(format!(
                "\"{}\" and \"{}\" would both be stored as \"{name}\": upload them separately",
                other.display(),
                path.display()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sub/deep")).unwrap();
        for file in ["a.txt", "b.txt", "sub/a.txt", "sub/deep/c.txt"] {
            fs::write(dir.path().join(file), file).unwrap();
        }
        dir
    }

    fn names(sources: &[String], destination: &str, recursive: bool, include: bool) -> Vec<String> {
        let plan = plan(sources, destination, recursive, include).unwrap();
        plan.uploads.into_iter().map(|upload| upload.name).collect()
    }

    #[test]
    fn files_take_the_name_or_go_into_the_directory() {
        let dir = tree();
        let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        assert_eq!(names(&[file("a.txt")], "", false, false), ["a.txt"]);
        assert_eq!(names(&[file("a.txt")], "x", false, false), ["x"]);
        assert_eq!(names(&[file("a.txt")], "x/", false, false), ["x/a.txt"]);
        assert_eq!(
            names(&[file("a.txt"), file("b.txt")], "x", false, false),
            ["x/a.txt", "x/b.txt"]
        );
    }

    #[test]
    fn directories_keep_their_shape() {
        let dir = tree();
        let root = dir.path().to_str().unwrap().to_owned();
        let all = ["a.txt", "b.txt", "sub/a.txt", "sub/deep/c.txt"];
        assert_eq!(names(std::slice::from_ref(&root), "", true, false), all);
        assert_eq!(
            names(std::slice::from_ref(&root), "p/", true, false),
            all.map(|name| format!("p/{name}"))
        );
        let flat = plan(std::slice::from_ref(&root), "", false, false).unwrap();
        assert_eq!(flat.uploads.len(), 2);
        assert!(flat.notes.iter().any(|note| note.contains("--recursive")), "{:?}", flat.notes);
        let base = dir.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(names(&[root], "", false, true).first().unwrap(), &format!("{base}/a.txt"));
    }

    #[test]
    fn templates_name_files_and_missing_ones_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        for i in 0..3 {
            fs::write(dir.path().join(format!("s-{i:02}.tar")), "x").unwrap();
        }
        let template = |text: &str| format!("{}/{text}", dir.path().display());
        assert_eq!(names(&[template("s-{00..02}.tar")], "", false, false).len(), 3);
        let err = plan(&[template("s-{00..03}.tar")], "", false, false).unwrap_err();
        assert!(err.to_string().contains("s-03.tar"), "{err}");
    }

    #[test]
    fn clashes_links_and_empty_directories_are_told() {
        let dir = tree();
        let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let err = plan(&[file("a.txt"), file("sub/a.txt")], "", false, false).unwrap_err();
        assert!(err.to_string().contains("both be stored as \"a.txt\""), "{err}");
        std::os::unix::fs::symlink(dir.path(), dir.path().join("sub/deep/loop")).unwrap();
        let deep = plan(&[file("sub")], "", true, false).unwrap();
        assert!(deep.notes.iter().any(|note| note.contains("link")), "{:?}", deep.notes);
        let empty = tempfile::tempdir().unwrap();
        let err = plan(&[empty.path().to_str().unwrap().to_owned()], "", true, false).unwrap_err();
        assert!(err.to_string().contains("no files"), "{err}");
        assert!(plan(&["/no/such/file".to_owned()], "", false, false).is_err());
    }
}
