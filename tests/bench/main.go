package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func main() {
	rounds := flag.Int("n", 3, "rounds; the median of them is shown")
	rows := flag.String("rows", "", "parts of row names, separated by commas; all where empty")
	names := flag.String("subjects", "", "guestctl,noxattr,kernel,kernel-dio,fuse2fs,ntfs-3g; all where empty")
	types := flag.String("fs", "", "ext4,xfs,ntfs; all where empty")
	to := flag.String("json", "", "write the table as JSON to this file too")
	flag.Parse()
	if os.Getenv(inside) == "" && os.Geteuid() == 0 {
		os.Exit(enter())
	}
	if err := run(*rounds, *rows, *names, *types, *to); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// inside marks the process in namespaces of its own.
const inside = "GUESTCTL_BENCH_INSIDE"

// enter runs this program again in a mount and pid namespace of its own and answers its exit status: however it ends, no
// mount, loop device or daemon outlives it.
func enter() int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	cmd := exec.Command("unshare", append([]string{"--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc", self}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		if cmd.ProcessState == nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		return 1
	}
	return 0
}

func run(rounds int, rows, names, types, to string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("comparing with the kernel's loop mount and dropping caches need root")
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return err
	}
	b := &bench{tb: &tb{}, rounds: rounds, table: &table{Schema: "guestctl.bench/2", Kernel: unix.ByteSliceToString(uts.Release[:]), CPUs: runtime.NumCPU(), Rounds: rounds}}
	if rows != "" {
		b.rows = strings.Split(rows, ",")
	}
	for _, u := range suites() {
		if types != "" && !strings.Contains(","+types+",", ","+u.fstype+",") {
			continue
		}
		for _, s := range subjects(u.fstype) {
			if names != "" && !strings.Contains(","+names+",", ","+s.name+",") {
				continue
			}
			if program := map[string]string{"guestctl": "bin/guestmount", "noxattr": "bin/guestmount", "fuse2fs": "fuse2fs", "ntfs-3g": "ntfs-3g"}[s.name]; program != "" {
				if _, err := exec.LookPath(program); err != nil {
					b.table.note("%s is left out: %v", s.name, err)
					continue
				}
			}
			u.subjects = append(u.subjects, s)
		}
		b.suites = append(b.suites, u)
		b.table.Images = append(b.table.Images, u.image(b.tb).Path)
	}
	for n := range rounds {
		b.round(n + 1)
	}
	b.table.finish()
	if to != "" {
		if err := b.table.json(to); err != nil {
			return err
		}
	}
	return b.table.text(os.Stdout)
}

// A tb lets package images, which is made for tests, make the images here: what would fail a test ends the program.
type tb struct{ testing.TB }

func (*tb) Helper()                     {}
func (*tb) Log(args ...any)             { fmt.Fprintln(os.Stderr, args...) }
func (*tb) Logf(f string, args ...any)  { fmt.Fprintf(os.Stderr, f+"\n", args...) }
func (t *tb) Skip(args ...any)          { t.Fatal(args...) }
func (t *tb) Fatalf(f string, a ...any) { t.Fatal(fmt.Sprintf(f, a...)) }
func (*tb) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(1)
}
