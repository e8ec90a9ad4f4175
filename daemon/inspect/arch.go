package inspect

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// unixPrograms are the programs whose machine is the system's, as in libguestfs.
func unixPrograms() []string {
	return []string{"/bin/bash", "/bin/ls", "/bin/echo", "/bin/rm", "/bin/sh", "/usr/bin/bash", "/usr/bin/sh",
		"/nix/var/nix/profiles/system/sw/bin/bash", "/var/guix/profiles/system/profile/bin/bash"}
}

// maxProgram bounds a program of which the head is read.
const maxProgram = 1 << 30

// architecture is that of the first program that has one.
func architecture(ctx context.Context, fs *look.FS, programs []string) fact {
	for _, p := range programs {
		f, err := fs.Open(ctx, p, maxProgram)
		if err != nil {
			continue
		}
		head := make([]byte, min(4096, f.Size()))
		if n, _ := f.ReadAt(head, 0); n < len(head) {
			continue
		}
		if arch := machine(head); arch != "" {
			return fact{arch, p}
		}
	}
	return fact{}
}

// Layout of the ELF header (System V ABI, chapter 4), of the DOS header and of
// the PE header (Microsoft's PE format), in bytes.
const (
	elfClass   = 4 // 1: 32 bits, 2: 64
	elfData    = 5 // 1: little-endian, 2: big
	elfMachine = 18
	elfMin     = 20
	dosPE      = 0x3c // offset of the PE header
	peMachine  = 4
	peMin      = 6
)

// machine is the processor of a program by its first bytes, "" where they are
// neither ELF nor PE. The names are those of libguestfs, which are uname's.
func machine(head []byte) string {
	switch {
	case len(head) >= elfMin && bytes.HasPrefix(head, []byte("\x7fELF")):
		return elfArch(head)
	case len(head) >= dosPE+4 && bytes.HasPrefix(head, []byte("MZ")):
		off := binary.LittleEndian.Uint32(head[dosPE:])
		if int64(off)+peMin > int64(len(head)) || !bytes.HasPrefix(head[off:], []byte("PE\x00\x00")) {
			return ""
		}
		switch m := binary.LittleEndian.Uint16(head[off+peMachine:]); m {
		case 0x14c:
			return "i386"
		case 0x8664:
			return "x86_64"
		case 0xaa64:
			return "aarch64"
		case 0x1c0, 0x1c4:
			return "arm"
		case 0x200:
			return "ia64"
		}
	}
	return ""
}

func elfArch(head []byte) string {
	order := binary.ByteOrder(binary.LittleEndian)
	if head[elfData] == 2 {
		order = binary.BigEndian
	}
	bits := 32
	if head[elfClass] == 2 {
		bits = 64
	}
	// The numbers are those of elf.h, EM_*.
	switch order.Uint16(head[elfMachine:]) {
	case 2, 18:
		return "sparc"
	case 3, 6:
		return "i386"
	case 4:
		return "m68k"
	case 8:
		return map[int]string{32: "mips", 64: "mips64"}[bits]
	case 15:
		return "parisc"
	case 20:
		return "ppc"
	case 21:
		if head[elfData] == 1 {
			return "ppc64le"
		}
		return "ppc64"
	case 22:
		return map[int]string{32: "s390", 64: "s390x"}[bits]
	case 40:
		return "arm"
	case 42:
		return "sh"
	case 43:
		return "sparc64"
	case 50:
		return "ia64"
	case 62:
		return "x86_64"
	case 183:
		return "aarch64"
	case 243:
		return fmt.Sprintf("riscv%d", bits)
	case 258:
		return fmt.Sprintf("loongarch%d", bits)
	case 0x9026:
		return "alpha"
	}
	return ""
}
