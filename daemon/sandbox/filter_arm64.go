package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// archPlain are allowed system calls of this processor alone.
var archPlain = [...]uint32{}
