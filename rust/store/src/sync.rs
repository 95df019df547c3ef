//! The locks of the parts that are also run as models: every order in which their threads may go on is tried, or many.
//!
//! In a program these are those of the standard library. In the tests of this crate a lock that is made within a
//! model is one of `shuttle`, so that the code which is modelled is the code that runs.

#[cfg(not(test))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard};

#[cfg(test)]
pub(crate) use modelled::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, give_way, modelled,
};

#[cfg(test)]
mod modelled {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};
    use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};

    thread_local! {
        static MODELLED: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs a model, on this thread: locks made meanwhile are those of the model.
    pub(crate) fn modelled<T>(run: impl FnOnce() -> T) -> T {
        struct End;
        impl Drop for End {
            fn drop(&mut self) {
                MODELLED.set(false);
            }
        }
        MODELLED.set(true);
        let _end = End;
        run()
    }

    /// Lets other threads of a model go on.
    pub(crate) fn give_way() {
        if MODELLED.get() {
            // Not a yield, by which some schedulers take a thread for one that waits.
            let moment = shuttle::sync::atomic::AtomicBool::new(false);
            moment.load(std::sync::atomic::Ordering::SeqCst);
        }
    }

    #[derive(Debug)]
    pub(crate) enum Mutex<T> {
        Real(std::sync::Mutex<T>),
        Model(shuttle::sync::Mutex<T>),
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            if MODELLED.get() {
                Self::Model(shuttle::sync::Mutex::new(value))
            } else {
                Self::Real(std::sync::Mutex::new(value))
            }
        }

        pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            match self {
                Self::Real(lock) => wrap(lock.lock(), MutexGuard::Real),
                Self::Model(lock) => wrap(lock.lock(), MutexGuard::Model),
            }
        }

        pub(crate) fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
            match self {
                Self::Real(lock) => try_wrap(lock.try_lock(), MutexGuard::Real),
                Self::Model(lock) => try_wrap(lock.try_lock(), MutexGuard::Model),
            }
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    pub(crate) enum MutexGuard<'a, T> {
        Real(std::sync::MutexGuard<'a, T>),
        Model(shuttle::sync::MutexGuard<'a, T>),
    }

    #[derive(Debug)]
    pub(crate) enum RwLock<T> {
        Real(std::sync::RwLock<T>),
        Model(shuttle::sync::RwLock<T>),
    }

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            if MODELLED.get() {
                Self::Model(shuttle::sync::RwLock::new(value))
            } else {
                Self::Real(std::sync::RwLock::new(value))
            }
        }

        pub(crate) fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
            match self {
                Self::Real(lock) => wrap(lock.read(), RwLockReadGuard::Real),
                Self::Model(lock) => wrap(lock.read(), RwLockReadGuard::Model),
            }
        }

        pub(crate) fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
            match self {
                Self::Real(lock) => wrap(lock.write(), RwLockWriteGuard::Real),
                Self::Model(lock) => wrap(lock.write(), RwLockWriteGuard::Model),
            }
        }
    }

    pub(crate) enum RwLockReadGuard<'a, T> {
        Real(std::sync::RwLockReadGuard<'a, T>),
        Model(shuttle::sync::RwLockReadGuard<'a, T>),
    }

    pub(crate) enum RwLockWriteGuard<'a, T> {
        Real(std::sync::RwLockWriteGuard<'a, T>),
        Model(shuttle::sync::RwLockWriteGuard<'a, T>),
    }

    macro_rules! reads {
        ($($guard:ident)*) => { $(
            impl<T> Deref for $guard<'_, T> {
                type Target = T;

                fn deref(&self) -> &T {
                    match self {
                        Self::Real(guard) => guard,
                        Self::Model(guard) => guard,
                    }
                }
            }
        )* };
    }

    macro_rules! writes {
        ($($guard:ident)*) => { $(
            impl<T> DerefMut for $guard<'_, T> {
                fn deref_mut(&mut self) -> &mut T {
                    match self {
                        Self::Real(guard) => guard,
                        Self::Model(guard) => guard,
                    }
                }
            }
        )* };
    }

    reads!(MutexGuard RwLockReadGuard RwLockWriteGuard);
    writes!(MutexGuard RwLockWriteGuard);

    #[derive(Debug)]
    pub(crate) enum Condvar {
        Real(std::sync::Condvar),
        Model(shuttle::sync::Condvar),
    }

    impl Default for Condvar {
        fn default() -> Self {
            if MODELLED.get() {
                Self::Model(shuttle::sync::Condvar::new())
            } else {
                Self::Real(std::sync::Condvar::new())
            }
        }
    }

    impl Condvar {
        pub(crate) fn wait<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
        ) -> LockResult<MutexGuard<'a, T>> {
            match (self, guard) {
                (Self::Real(one), MutexGuard::Real(guard)) => {
                    wrap(one.wait(guard), MutexGuard::Real)
                }
                (Self::Model(one), MutexGuard::Model(guard)) => {
                    wrap(one.wait(guard), MutexGuard::Model)
                }
                _ => panic!("a lock and what waits for it belong to one world"),
            }
        }

        pub(crate) fn notify_all(&self) {
            match self {
                Self::Real(one) => one.notify_all(),
                Self::Model(one) => one.notify_all(),
            }
        }
    }

    fn wrap<G, H>(locked: LockResult<G>, guard: impl Fn(G) -> H) -> LockResult<H> {
        match locked {
            Ok(locked) => Ok(guard(locked)),
            Err(poisoned) => Err(PoisonError::new(guard(poisoned.into_inner()))),
        }
    }
    fn try_wrap<G, H>(locked: TryLockResult<G>, guard: impl Fn(G) -> H) -> TryLockResult<H> {
        locked.map(&guard).map_err(|error| match error {
            TryLockError::Poisoned(held) => {
                TryLockError::Poisoned(PoisonError::new(guard(held.into_inner())))
            }
            TryLockError::WouldBlock => TryLockError::WouldBlock,
        })
    }
}
