package packages

import (
	"bytes"
	"compress/zlib"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"io"
	"runtime/debug"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// Bounds of a program that is looked into.
const (
	minBinary = 100 << 10 // bytes: no program in Go or Rust with dependencies is smaller
	maxBinary = 1 << 30
	maxAudit  = 8 << 20 // bytes of the list in a Rust program, unpacked
)

// binaries lists the modules that programs in Go say they are built of (package
// debug/buildinfo), and the crates that cargo-auditable wrote into the section
// .dep-v0 of programs in Rust: JSON, compressed by zlib.
func binaries(l *list) {
	seen := map[string]bool{} // /bin may be /usr/bin
	for _, dir := range []string{"/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin", "/opt/bin", "/usr/libexec"} {
		real, err := l.fs.Resolve(l.ctx, dir)
		if err != nil || seen[real] {
			continue
		}
		seen[real] = true
		for _, file := range l.fs.Glob(l.ctx, real, "*") {
			a, err := l.fs.Lstat(l.ctx, file)
			if err != nil || !a.FileMode().IsRegular() || a.Mode&0o111 == 0 || a.Size < minBinary {
				continue
			}
			f, err := l.fs.Open(l.ctx, file, maxBinary)
			if err != nil {
				continue
			}
			if l.ctx.Err() != nil {
				return
			}
			l.binary(f, file)
		}
	}
}

// binary looks into one program. One that says nothing is no problem.
func (l *list) binary(f *look.File, file string) {
	head := make([]byte, 4)
	if n, _ := f.ReadAt(head, 0); n < len(head) || string(head) != elf.ELFMAG {
		return
	}
	// Neither package keeps what it reads in memory without bounds, and both are
	// fuzzed by their makers; a panic is caught by List.
	program, err := elf.NewFile(f)
	if err != nil {
		return
	}
	if program.Section(".go.buildinfo") != nil {
		if info, err := buildinfo.Read(f); err == nil {
			l.goModules(info, file)
		}
	}
	if s := program.Section(".dep-v0"); s != nil && s.Size < maxAudit {
		if b, err := s.Data(); err == nil {
			l.crates(b, file)
		}
	}
}

func (l *list) goModules(info *buildinfo.BuildInfo, file string) {
	l.add(api.Package{Format: "golang", Name: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go"), FullVersion: info.GoVersion, InstallPath: file, Source: at(file, "buildinfo")})
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == "" {
			continue
		}
		if m.Replace != nil {
			m = m.Replace
		}
		if !l.add(api.Package{Format: "golang", Name: m.Path, Version: strings.TrimPrefix(m.Version, "v"), FullVersion: m.Version, InstallPath: file, Source: at(file, "buildinfo")}) {
			return
		}
	}
}

// crates reads cargo-auditable's list.
func (l *list) crates(packed []byte, file string) {
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		l.warn("%s: the section .dep-v0: %v", file, err)
		return
	}
	b, err := io.ReadAll(io.LimitReader(z, maxAudit))
	if err != nil {
		l.warn("%s: the section .dep-v0: %v", file, err)
		return
	}
	var audit struct {
		Packages []struct {
			Name, Version, Source, Kind string
		} `json:"packages"`
	}
	if err := json.Unmarshal(b, &audit); err != nil {
		l.warn("%s: the section .dep-v0: %v", file, err)
		return
	}
	for _, c := range audit.Packages {
		if c.Kind == "build" {
			continue // needed to build it, and not in it
		}
		if !l.add(api.Package{Format: "cargo", Name: c.Name, Version: c.Version, FullVersion: c.Version, InstallPath: file, Source: at(file, ".dep-v0")}) {
			return
		}
	}
}
