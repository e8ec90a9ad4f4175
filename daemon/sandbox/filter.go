package sandbox

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// plain are the system calls that are allowed whatever their arguments: they
// speak of descriptors, memory, threads, time and the process itself. What only
// one architecture has stands in its own file.
var plain = [...]uint32{
	// Descriptors that are open.
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_PREADV, unix.SYS_PWRITEV,
	unix.SYS_PREADV2, unix.SYS_PWRITEV2, unix.SYS_LSEEK, unix.SYS_FSTAT, unix.SYS_FSTATFS, unix.SYS_FCNTL, unix.SYS_CLOSE, unix.SYS_DUP, unix.SYS_DUP3,
	unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC_FILE_RANGE, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE, unix.SYS_COPY_FILE_RANGE, unix.SYS_FADVISE64, unix.SYS_FLOCK,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_PPOLL, unix.SYS_EVENTFD2, unix.SYS_PIPE2,
	// Sockets that are connected; none can be made.
	unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SHUTDOWN,
	unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME,
	// Memory.
	unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK,
	// Threads, signals and time.
	unix.SYS_FUTEX, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_MEMBARRIER,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY,
	// The process itself.
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_UNAME, unix.SYS_GETRANDOM, unix.SYS_GETRUSAGE,
}

// ioctls are those of an image that is a block device, ioctl_list(2).
var ioctls = [...]uint32{unix.BLKGETSIZE64, unix.BLKSSZGET, unix.BLKPBSZGET, unix.BLKDISCARD, unix.BLKZEROOUT}

// Offsets in struct seccomp_data, linux/seccomp.h. Both architectures are little
// endian, so that the low half of an argument comes first.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

const (
	allow = unix.SECCOMP_RET_ALLOW
	kill  = unix.SECCOMP_RET_KILL_PROCESS
)

// deny answers a system call with an error.
func deny(errno syscall.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(errno) }

// program is the filter, in classic BPF: one system call after the other, and
// at its end EPERM for all that was not named.
func program(pid int) ([]unix.SockFilter, error) {
	if auditArch == 0 {
		return nil, errors.New("no list of system calls is made for this processor")
	}
	var p assembler
	p.load(offArch)
	p.jump(unix.BPF_JEQ, auditArch, 1, 0)
	p.ret(kill)
	p.load(offNumber)
	for _, list := range [][]uint32{plain[:], archPlain[:]} {
		for _, nr := range list {
			p.jump(unix.BPF_JEQ, nr, 0, 1)
			p.ret(allow)
		}
	}
	// A thread, and no process. clone3's arguments lie in memory that a filter
	// does not see; libc takes ENOSYS for a kernel that has clone only.
	p.call(unix.SYS_CLONE, 0, func(p *assembler) {
		p.jump(unix.BPF_JSET, unix.CLONE_THREAD, 0, 1)
		p.ret(allow)
	})
	p.jump(unix.BPF_JEQ, unix.SYS_CLONE3, 0, 1)
	p.ret(deny(unix.ENOSYS))
	// Memory, but none that can be executed.
	for _, nr := range []uint32{unix.SYS_MMAP, unix.SYS_MPROTECT} {
		p.call(nr, 2, func(p *assembler) {
			p.jump(unix.BPF_JSET, unix.PROT_EXEC, 1, 0)
			p.ret(allow)
		})
	}
	// Signals to this process only: the runtime stops its threads by them.
	p.call(unix.SYS_TGKILL, 0, func(p *assembler) {
		p.jump(unix.BPF_JEQ, uint32(pid), 0, 1)
		p.ret(allow)
	})
	// The runtime names its memory.
	p.call(unix.SYS_PRCTL, 0, func(p *assembler) {
		p.jump(unix.BPF_JEQ, unix.PR_SET_VMA, 0, 1)
		p.ret(allow)
	})
	p.call(unix.SYS_IOCTL, 1, func(p *assembler) {
		for _, cmd := range ioctls {
			p.jump(unix.BPF_JEQ, cmd, 0, 1)
			p.ret(allow)
		}
	})
	p.ret(deny(unix.EPERM))
	return p, nil
}

// An assembler collects instructions.
type assembler []unix.SockFilter

func (p *assembler) add(f unix.SockFilter) { *p = append(*p, f) }

func (p *assembler) load(off uint32) {
	p.add(unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off})
}

// jump passes over so many instructions where the test is true, and so many
// where it is false.
func (p *assembler) jump(test uint16, k uint32, yes, no uint8) {
	p.add(unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k, Jt: yes, Jf: no})
}

func (p *assembler) ret(action uint32) {
	p.add(unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action})
}

// call looks at the low half of an argument of one system call. What body does
// not allow is EPERM.
func (p *assembler) call(nr uint32, arg int, body func(*assembler)) {
	var inner assembler
	inner.load(offArgs + uint32(arg)*uint32(unsafe.Sizeof(uint64(0))))
	body(&inner)
	inner.ret(deny(unix.EPERM))
	p.jump(unix.BPF_JEQ, nr, 0, uint8(len(inner)))
	*p = append(*p, inner...)
}
