//! Listing results: held natively, turned into Python objects when touched.

use std::sync::{Arc, Mutex, PoisonError};

use aistore_core::list::{ENTRY_CACHED, ListEntry};
use pyo3::basic::CompareOp;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

/// Bits of an entry's flags that hold its status; 0 is good.
const STATUS_MASK: u16 = 31;

/// What the rows of [`Entries::columns`] hold.
type Row<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str, u64, u16, u16, &'a str);

/// Listing result held natively; makes Python objects only for what is touched.
#[pyclass(frozen, module = "aistore._native")]
pub(crate) struct Entries {
    all: Arc<Vec<ListEntry>>,
    factory: Mutex<Option<Py<PyAny>>>,
}

impl Entries {
    pub(crate) fn new(all: Vec<ListEntry>) -> Self {
        Self { all: Arc::new(all), factory: Mutex::new(None) }
    }

    fn factory(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let factory = self.factory.lock().unwrap_or_else(PoisonError::into_inner);
        factory.as_ref().map(|factory| factory.clone_ref(py))
    }
}

#[pymethods]
impl Entries {
    fn __len__(&self) -> usize {
        self.all.len()
    }

    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.all.iter().map(|entry| PyString::new(py, &entry.name)))
    }

    /// Rows (name, checksum, atime, version, location, size, copies, flags, custom) of a slice.
    fn columns(&self, start: usize, stop: usize) -> Vec<Row<'_>> {
        let stop = stop.min(self.all.len());
        let slice = self.all.get(start.min(stop)..stop).unwrap_or_default();
        slice.iter().map(row_of).collect()
    }

    fn entry(&self, py: Python<'_>, index: isize) -> PyResult<BucketEntry> {
        let at = if index < 0 {
            self.all.len().checked_add_signed(index)
        } else {
            index.try_into().ok()
        };
        let Some(at) = at.filter(|at| *at < self.all.len()) else {
            let text = format!("entry {index} of {}", self.all.len());
            return Err(PyIndexError::new_err(text));
        };
        Ok(BucketEntry::shared(self.all.clone(), at, self.factory(py)))
    }

    /// Makes `BucketEntry.object` of entries made later be `factory(name, size)`, called on first access.
    fn bind(&self, factory: Py<PyAny>) {
        *self.factory.lock().unwrap_or_else(PoisonError::into_inner) = Some(factory);
    }

    fn __iter__(&self, py: Python<'_>) -> EntryIterator {
        EntryIterator { all: self.all.clone(), at: 0, factory: self.factory(py) }
    }

    fn __repr__(&self) -> String {
        format!("<Entries of {} objects>", self.all.len())
    }
}

fn row_of(e: &ListEntry) -> Row<'_> {
    (&e.name, &e.checksum, &e.atime, &e.version, &e.location, e.size, e.copies, e.flags, &e.custom)
}

#[pyclass(module = "aistore._native")]
pub(crate) struct EntryIterator {
    all: Arc<Vec<ListEntry>>,
    at: usize,
    factory: Option<Py<PyAny>>,
}

#[pymethods]
impl EntryIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> Option<BucketEntry> {
        let at = self.at;
        if at >= self.all.len() {
            return None;
        }
        self.at += 1;
        let factory = self.factory.as_ref().map(|factory| factory.clone_ref(py));
        Some(BucketEntry::shared(self.all.clone(), at, factory))
    }

    fn __length_hint__(&self) -> usize {
        self.all.len() - self.at
    }
}

/// One name in a listing.
#[pyclass(subclass, dict, module = "aistore._native")]
pub(crate) struct BucketEntry {
    data: Data,
    object: Option<Py<PyAny>>,
    factory: Option<Py<PyAny>>,
}

/// A listing's entry, or one of its own once somebody changes it.
enum Data {
    Shared(Arc<Vec<ListEntry>>, usize),
    Own(Box<ListEntry>),
}

static NO_ENTRY: ListEntry = ListEntry {
    name: String::new(),
    checksum: String::new(),
    atime: String::new(),
    version: String::new(),
    location: String::new(),
    custom: String::new(),
    size: 0,
    copies: 0,
    flags: 0,
};

impl BucketEntry {
    fn shared(all: Arc<Vec<ListEntry>>, at: usize, factory: Option<Py<PyAny>>) -> Self {
        Self { data: Data::Shared(all, at), object: None, factory }
    }

    fn get(&self) -> &ListEntry {
        match &self.data {
            Data::Shared(all, at) => all.get(*at).unwrap_or(&NO_ENTRY),
            Data::Own(entry) => entry,
        }
    }

    fn change(&mut self) -> &mut ListEntry {
        if let Data::Shared(..) = self.data {
            self.data = Data::Own(Box::new(self.get().clone()));
        }
        match &mut self.data {
            Data::Own(entry) => entry,
            Data::Shared(..) => unreachable!("replaced above"),
        }
    }
}

macro_rules! entry_class {
    (
        texts: $($text:ident $set_text:ident $text_name:ident),*;
        numbers: $($number:ident $set_number:ident $number_name:ident $kind:ty),*;
    ) => {
        #[pymethods]
        impl BucketEntry {
            #[new]
            #[pyo3(signature = (n = "", cs = "", a = "", v = "", t = "", s = 0, c = 0, f = 0, m = ""))]
            #[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python signature")]
            fn new(n: &str, cs: &str, a: &str, v: &str, t: &str, s: u64, c: u16, f: u16, m: &str) -> Self {
                let entry = ListEntry {
                    name: n.to_owned(),
                    checksum: cs.to_owned(),
                    atime: a.to_owned(),
                    version: v.to_owned(),
                    location: t.to_owned(),
                    custom: m.to_owned(),
                    size: s,
                    copies: c,
                    flags: f,
                };
                Self { data: Data::Own(Box::new(entry)), object: None, factory: None }
            }

            $(
                #[getter]
                fn $text(&self) -> &str {
                    &self.get().$text_name
                }

                #[setter]
                fn $set_text(&mut self, value: String) {
                    self.change().$text_name = value;
                }

                #[getter]
                fn $text_name(&self) -> &str {
                    &self.get().$text_name
                }
            )*

            $(
                #[getter]
                fn $number(&self) -> $kind {
                    self.get().$number_name
                }

                #[setter]
                fn $set_number(&mut self, value: $kind) {
                    self.change().$number_name = value;
                }

                #[getter]
                fn $number_name(&self) -> $kind {
                    self.get().$number_name
                }
            )*

            /// What the listing's factory makes of the entry; `None` without one.
            #[getter]
            fn object(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                if let Some(object) = &self.object {
                    return Ok(object.clone_ref(py));
                }
                let made = match &self.factory {
                    Some(factory) => factory.call1(py, (self.get().name.as_str(), self.get().size))?,
                    None => py.None(),
                };
                self.object = Some(made.clone_ref(py));
                Ok(made)
            }

            #[setter]
            fn set_object(&mut self, value: Py<PyAny>) {
                self.object = Some(value);
            }

            fn is_cached(&self) -> bool {
                self.get().flags & ENTRY_CACHED != 0
            }

            fn is_ok(&self) -> bool {
                self.get().flags & STATUS_MASK == 0
            }

            fn __repr__(&self) -> String {
                format!("BucketEntry(name={:?}, size={})", self.get().name, self.get().size)
            }

            fn __richcmp__(&self, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
                let py = other.py();
                let Ok(other) = other.cast::<Self>() else { return Ok(py.NotImplemented()) };
                let same = self.get() == other.borrow().get();
                Ok(match op {
                    CompareOp::Eq => same.into_pyobject(py)?.to_owned().into_any().unbind(),
                    CompareOp::Ne => (!same).into_pyobject(py)?.to_owned().into_any().unbind(),
                    _ => py.NotImplemented(),
                })
            }

            fn __hash__(&self) -> u64 {
                use std::hash::{DefaultHasher, Hash as _, Hasher as _};
                let mut hasher = DefaultHasher::new();
                self.get().name.hash(&mut hasher);
                hasher.finish()
            }

            /// Pickles as its values; the factory's object stays behind.
            fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
                let this = slf.borrow();
                let (n, cs, a, v, t, s, c, f, m) = row_of(this.get());
                let values = (n, cs, a, v, t, s, c, f, m).into_pyobject(slf.py())?;
                Ok((slf.get_type().into_any(), values))
            }
        }
    };
}

// Getters of both names, and a setter of the short one, for every field.
entry_class! {
    texts: n set_n name, cs set_cs checksum, a set_a atime, v set_v version, t set_t location, m set_m custom;
    numbers: s set_s size u64, c set_c copies u16, f set_f flags u16;
}
