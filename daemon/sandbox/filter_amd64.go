package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// archPlain are allowed system calls of this processor alone.
var archPlain = [...]uint32{unix.SYS_POLL, unix.SYS_EPOLL_WAIT}
