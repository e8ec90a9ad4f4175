package qcow2_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/formattest"
)

// packedImage is a compressed image of the given size.
func packedImage(t testing.TB, options string, size int) string {
	t.Helper()
	dir := t.TempDir()
	src, path := writeRaw(t, dir, "src.raw", content(12, size)), filepath.Join(dir, "disk.qcow2")
	formattest.Do(t, dir, "qemu-img", "convert", "-O", "qcow2", "-c", "-o", options, src, path)
	return path
}

// benchImage is the image of GUESTCTL_BENCH_QCOW2, or one of our own.
func benchImage(t testing.TB, options string) string {
	if path := os.Getenv("GUESTCTL_BENCH_QCOW2"); path != "" {
		return path
	}
	return packedImage(t, options, 128<<20)
}

// readAll reads what is not zero in order, as a sequential reader does.
func readAll(ctx context.Context, dev block.Device, buf []byte) error {
	for off := int64(0); off < dev.Size(); {
		run, err := dev.Locate(ctx, off, int64(len(buf)))
		if err != nil {
			return err
		}
		if run.Kind != block.Zero {
			if err := block.ReadFull(ctx, dev, buf[:run.Len], off); err != nil {
				return err
			}
		}
		off += run.Len
	}
	return nil
}

// convert has qemu-img decode the image into nothing.
func convert(t testing.TB, path string, size int64) {
	t.Helper()
	cmd := exec.Command(formattest.Tool(t, "qemu-img"), "convert", "-n", "-f", "qcow2", path,
		"--target-image-opts", fmt.Sprintf("driver=null-co,size=%d,read-zeroes=on", size))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func processTime(who int) time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(who, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSequential reads a compressed image of 128 MiB in order. It reports
// the time that qemu-img convert takes to decode the same image to nothing,
// in the same run, and ours as a share of it (ratio, below 1 is faster), also
// of the processors' time (cpu-ratio), which a busy machine disturbs less.
// Set GUESTCTL_BENCH_QCOW2 to the path of an image to use that one.
func BenchmarkSequential(b *testing.B) {
	for _, options := range []string{"compression_type=zlib", "compression_type=zstd"} {
		for _, step := range []int{1 << 20, 128 << 10} {
			b.Run(fmt.Sprintf("%s/%dk", options, step>>10), func(b *testing.B) {
				path := benchImage(b, options)
				ctx, buf := context.Background(), make([]byte, step)
				var ours, theirs, oursCPU, theirsCPU time.Duration
				for b.Loop() {
					chain := formattest.NewChain(b)
					start, cpu := time.Now(), processTime(syscall.RUSAGE_SELF)
					img, err := chain.Open(ctx, path, "qcow2", formats.Options{})
					if err == nil {
						err = readAll(ctx, img, buf)
					}
					if err != nil {
						b.Fatal(err)
					}
					size := img.Size()
					chain.Close()
					ours += time.Since(start)
					oursCPU += processTime(syscall.RUSAGE_SELF) - cpu
					start, cpu = time.Now(), processTime(syscall.RUSAGE_CHILDREN)
					convert(b, path, size)
					theirs += time.Since(start)
					theirsCPU += processTime(syscall.RUSAGE_CHILDREN) - cpu
				}
				b.ReportMetric(float64(ours.Milliseconds())/float64(b.N), "ours-ms")
				b.ReportMetric(float64(theirs.Milliseconds())/float64(b.N), "qemu-ms")
				b.ReportMetric(ours.Seconds()/theirs.Seconds(), "ratio")
				b.ReportMetric(oursCPU.Seconds()/theirsCPU.Seconds(), "cpu-ratio")
			})
		}
	}
}

// BenchmarkWrite writes a new disk of 256 MiB and makes it durable: in order by
// 1 MiB, and at random by 4 KiB to a sixteenth of it.
func BenchmarkWrite(b *testing.B) {
	ctx := context.Background()
	const size = 256 << 20
	for _, c := range []struct {
		name    string
		n, step int64
	}{{"sequential", 1 << 20, 1}, {"random 4k", 4096, 40503}} {
		b.Run(c.name, func(b *testing.B) {
			p := make([]byte, c.n)
			for i := range p {
				p[i] = byte(i) | 1
			}
			count := size / c.n
			if c.step > 1 {
				count /= 16
			}
			b.SetBytes(count * c.n)
			for range b.N {
				path := filepath.Join(b.TempDir(), "disk.qcow2")
				create(b, path, "compat=1.1", size)
				s := openWrite(b, path)
				for i := range count {
					if _, err := s.WriteAt(ctx, p, i*c.step%(size/c.n)*c.n); err != nil {
						b.Fatal(err)
					}
				}
				if err := s.Sync(ctx); err != nil {
					b.Fatal(err)
				}
				s.close()
				os.Remove(path)
			}
		})
	}
}
