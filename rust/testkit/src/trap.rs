//! Every call of this process that changes or reads files arrives here, however it is made.
//!
//! Not by replacing functions of libc: some of our libraries call the kernel directly. A seccomp filter turns
//! the calls of [`TRAPPED`] into the signal SIGSYS, delivered to the calling thread at the instruction that calls; the
//! handler does in its place what [`crate::twin`] says. Calls from [`kernel`], the one function that the filter lets
//! through, reach the kernel.
//!
//! A filter is inherited and cannot be taken back: a program that is started by a trapped one dies at its first
//! call. Trap a process that does nothing else.

#![allow(
    unsafe_code,
    reason = "signal handlers and direct system calls; each block says why it is sound"
)]
#![allow(
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::many_single_char_names,
    reason = "arguments of calls are registers, which hold numbers of each kind and have no names"
)]

use std::cell::Cell;
use std::io;
use std::ptr;

use crate::twin;

/// Numbers of the calls that are trapped.
const TRAPPED: &[libc::c_long] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_readv,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_write,
    libc::SYS_pwrite64,
    libc::SYS_writev,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_syncfs,
    libc::SYS_sync,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_unlinkat,
    libc::SYS_mkdirat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_creat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
];

/// Arguments of a call.
pub(crate) type Arguments = [usize; 6];

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".hidden aistore_testkit_call",
    ".global aistore_testkit_call",
    "aistore_testkit_call:",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov rsi, rdx",
    "mov rdx, rcx",
    "mov r10, r8",
    "mov r8, r9",
    "mov r9, [rsp + 8]",
    "syscall",
    ".hidden aistore_testkit_called",
    ".global aistore_testkit_called",
    "aistore_testkit_called:",
    "ret",
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".hidden aistore_testkit_call",
    ".global aistore_testkit_call",
    "aistore_testkit_call:",
    "mov x8, x0",
    "mov x0, x1",
    "mov x1, x2",
    "mov x2, x3",
    "mov x3, x4",
    "mov x4, x5",
    "mov x5, x6",
    "svc #0",
    ".hidden aistore_testkit_called",
    ".global aistore_testkit_called",
    "aistore_testkit_called:",
    "ret",
);

// SAFETY: both symbols are defined by the assembly above; the second is only ever used as an address.
unsafe extern "C" {
    fn aistore_testkit_call(
        number: libc::c_long,
        a: usize,
        b: usize,
        c: usize,
        d: usize,
        e: usize,
        f: usize,
    ) -> isize;
    fn aistore_testkit_called();
}

thread_local! {
    /// Whether this thread is in the handler: what it calls there is let through.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Makes a call that is not trapped. Returns what the kernel does: an error is a small negative number.
pub(crate) fn kernel(number: libc::c_long, arguments: Arguments) -> isize {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the assembly follows the C convention. The calls of this crate pass descriptors, numbers, and
    // pointers that either come from the trapped caller, who vouches for them, or to live values of this crate.
    unsafe { aistore_testkit_call(number, a, b, c, d, e, f) }
}

/// Traps the calls of this process, from now on and in all its threads.
pub(crate) fn install() -> io::Result<()> {
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_call;
    // SAFETY: all zeros are a valid sigaction, and the handler has the signature that SA_SIGINFO asks for.
    // SA_NODEFER: what the handler itself does with files, as to report a panic, arrives here again.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut())
    };
    if installed != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut program = filter(aistore_testkit_called as *const () as usize as u64);
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    let mode = libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER);
    // SAFETY: the program outlives the call; the kernel checks and copies it.
    let filtered = unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::syscall(libc::SYS_seccomp, mode, libc::SECCOMP_FILTER_FLAG_TSYNC, &raw const program)
    };
    match filtered {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        _ => Err(io::Error::other("another thread has a filter of its own")),
    }
}

/// A filter that traps [`TRAPPED`] unless the call returns to `allowed`.
fn filter(allowed: u64) -> Vec<libc::sock_filter> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const JUMP_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    /// Offsets in `seccomp_data`.
    const NUMBER: u32 = 0;
    const POINTER: u32 = 8;
    let step = |code: u32, k: u32, jt: usize, jf: usize| libc::sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt: u8::try_from(jt).unwrap_or(0),
        jf: u8::try_from(jf).unwrap_or(0),
        k,
    };
    let (low, high) = (allowed as u32, (allowed >> 32) as u32);
    let mut program = vec![step(LOAD, NUMBER, 0, 0)];
    for (index, number) in TRAPPED.iter().enumerate() {
        // To the look at the pointer, over the numbers that are left and the way out.
        program.push(step(JUMP_EQUAL, *number as u32, TRAPPED.len() - index, 0));
    }
    program.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
    program.push(step(LOAD, POINTER, 0, 0));
    program.push(step(JUMP_EQUAL, low, 0, 3));
    program.push(step(LOAD, POINTER + 4, 0, 0));
    program.push(step(JUMP_EQUAL, high, 0, 1));
    program.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
    program.push(step(RETURN, libc::SECCOMP_RET_TRAP, 0, 0));
    program
}

/// Does a trapped call.
extern "C" fn on_call(_: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid ucontext_t, and no one else uses it meanwhile.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext };
    // SAFETY: the kernel passes a valid siginfo_t.
    let from_filter = unsafe { (*info).si_code } == SYS_SECCOMP;
    if !from_filter {
        return;
    }
    // SAFETY: errno is a thread's own; the interrupted code must find it as it was.
    let errno = unsafe { *libc::__errno_location() };
    let (number, arguments) = call_of(registers);
    let result = if INSIDE.replace(true) {
        kernel(number, arguments)
    } else {
        let result = twin::on_call(number, arguments);
        INSIDE.set(false);
        result
    };
    set_result(registers, result);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// `si_code` of a signal from a filter.
const SYS_SECCOMP: libc::c_int = 1;

#[cfg(target_arch = "x86_64")]
fn call_of(registers: &libc::mcontext_t) -> (libc::c_long, Arguments) {
    let at = |register: libc::c_int| registers.gregs[register as usize] as usize;
    let arguments = [libc::REG_RDI, libc::REG_RSI, libc::REG_RDX, libc::REG_R10, libc::REG_R8];
    let [a, b, c, d, e] = arguments.map(at);
    (registers.gregs[libc::REG_RAX as usize], [a, b, c, d, e, at(libc::REG_R9)])
}

#[cfg(target_arch = "x86_64")]
fn set_result(registers: &mut libc::mcontext_t, result: isize) {
    registers.gregs[libc::REG_RAX as usize] = result as i64;
}

#[cfg(target_arch = "aarch64")]
fn call_of(registers: &libc::mcontext_t) -> (libc::c_long, Arguments) {
    let at = |register: usize| registers.regs[register] as usize;
    (registers.regs[8] as libc::c_long, [at(0), at(1), at(2), at(3), at(4), at(5)])
}

#[cfg(target_arch = "aarch64")]
fn set_result(registers: &mut libc::mcontext_t, result: isize) {
    registers.regs[0] = result as u64;
}

/// Bytes of the caller's memory that the kernel just read or filled.
///
/// # Safety
///
/// The caller of a trapped call passed this range to the kernel, which accepted it.
pub(crate) unsafe fn bytes_of<'m>(address: usize, length: usize) -> &'m [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller is blocked in its call, to which it lent this memory.
    unsafe { std::slice::from_raw_parts(address as *const u8, length) }
}

/// The path at an address; `None` for one that is not there.
///
/// # Safety
///
/// As for the call that it was passed to: it is null or ends with a zero byte.
pub(crate) unsafe fn path_of<'m>(address: usize) -> Option<&'m [u8]> {
    if address == 0 {
        return None;
    }
    // SAFETY: the caller vouches for it.
    Some(unsafe { std::ffi::CStr::from_ptr(address as *const libc::c_char) }.to_bytes())
}

/// Pieces of memory as `readv` and `writev` take them.
///
/// # Safety
///
/// As for the call that they were passed to.
pub(crate) unsafe fn pieces_of(address: usize, count: usize) -> Vec<(usize, usize)> {
    /// More are refused by the kernel.
    const MOST: usize = 1024;
    if address == 0 || count > MOST {
        return Vec::new();
    }
    // SAFETY: the caller vouches for it; iovec has no invalid values.
    let pieces = unsafe { std::slice::from_raw_parts(address as *const libc::iovec, count) };
    pieces.iter().map(|piece| (piece.iov_base as usize, piece.iov_len)).collect()
}

/// Device, inode and kind of an open file; `None` for a bad descriptor.
pub(crate) fn identify(descriptor: usize) -> Option<libc::stat> {
    // SAFETY: all zeros are a valid stat.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    let address = &raw mut stat as usize;
    (kernel(libc::SYS_fstat, [descriptor, address, 0, 0, 0, 0]) == 0).then_some(stat)
}
