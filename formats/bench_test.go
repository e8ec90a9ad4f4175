package formats_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/formattest"
)

const (
	benchSize = 128 << 20
	// Random reads are 4 KiB each, a step apart that meets every part of the
	// disk, since that is what qemu-img bench can do.
	benchReads = 20000
	benchStep  = 37<<20 + 12<<10
)

// BenchmarkFormats reads the same disk of 128 MiB out of an image of each
// format that QEMU writes: in order, against qemu-img convert into nothing,
// and 4 KiB at a time at far places, against qemu-img bench with one request
// under way. ratio is our time as a share of QEMU's, in the same run: below 1
// is faster. Of three rounds the fastest counts, of both.
func BenchmarkFormats(b *testing.B) {
	dir := b.TempDir()
	src := formattest.Write(b, dir, "src.raw", formattest.Content(12, benchSize))
	for _, c := range []struct{ format, options string }{
		{"raw", ""},
		{"qcow2", ""},
		{"vmdk", "subformat=monolithicSparse"},
		{"vmdk", "subformat=monolithicFlat"},
		{"vmdk", "subformat=streamOptimized"},
		{"vhdx", "subformat=dynamic"},
		{"vpc", "subformat=dynamic,force_size=on"},
		{"vpc", "subformat=fixed,force_size=on"},
		{"vdi", "static=off"},
		{"parallels", ""},
		{"qed", ""},
	} {
		path := filepath.Join(dir, "disk."+c.format)
		args := []string{"convert", "-O", c.format}
		if c.options != "" {
			args = append(args, "-o", c.options)
		}
		formattest.Do(b, dir, "qemu-img", append(args, src, path)...)
		name := c.format + "/" + c.options
		b.Run(name+"/sequential", func(b *testing.B) {
			race(b, func() time.Duration { return ours(b, path, c.format, sequential) }, func() time.Duration {
				return run(b, "convert", "-n", "-f", c.format, path, "--target-image-opts", fmt.Sprintf("driver=null-co,size=%d,read-zeroes=on", benchSize))
			})
		})
		b.Run(name+"/random4k", func(b *testing.B) {
			race(b, func() time.Duration { return ours(b, path, c.format, random) }, func() time.Duration { return qemuRandom(b, path, c.format) })
		})
		names, _ := filepath.Glob(filepath.Join(dir, "disk*"))
		for _, n := range names {
			os.Remove(n)
		}
	}
}

func race(b *testing.B, ours, theirs func() time.Duration) {
	for b.Loop() {
		o, q := time.Duration(1<<62), time.Duration(1<<62)
		for range 3 {
			o, q = min(o, ours()), min(q, theirs())
		}
		b.ReportMetric(float64(o.Microseconds())/1000, "ours-ms")
		b.ReportMetric(float64(q.Microseconds())/1000, "qemu-ms")
		b.ReportMetric(o.Seconds()/q.Seconds(), "ratio")
	}
}

func run(b *testing.B, args ...string) time.Duration {
	start := time.Now()
	if out, err := exec.Command(formattest.Tool(b, "qemu-img"), args...).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return time.Since(start)
}

var completed = regexp.MustCompile(`Run completed in ([0-9.]+) seconds`)

// qemuRandom is the time that qemu-img bench says, without its start.
func qemuRandom(b *testing.B, path, format string) time.Duration {
	out := formattest.Do(b, filepath.Dir(path), "qemu-img", "bench", "-f", format, "-c", fmt.Sprint(benchReads), "-d", "1", "-s", "4096", "-S", fmt.Sprint(benchStep), path)
	m := completed.FindStringSubmatch(out)
	if m == nil {
		b.Fatalf("qemu-img bench: %s", out)
	}
	s, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(s * float64(time.Second))
}

// ours is the time that read takes, with opening the image where all of it is
// read, as qemu-img convert does.
func ours(b *testing.B, path, format string, read func(ctx context.Context, img formats.Image) (time.Duration, error)) time.Duration {
	chain := formattest.NewChain(b)
	defer chain.Close()
	img, err := chain.Open(context.Background(), path, format, formats.Options{})
	if err != nil {
		b.Fatal(err)
	}
	d, err := read(context.Background(), img)
	if err != nil {
		b.Fatal(err)
	}
	return d
}

func sequential(ctx context.Context, img formats.Image) (time.Duration, error) {
	start, buf := time.Now(), make([]byte, 1<<20)
	for off := int64(0); off < img.Size(); {
		run, err := img.Locate(ctx, off, min(int64(len(buf)), img.Size()-off))
		if err == nil && run.Kind != block.Zero {
			err = block.ReadFull(ctx, img, buf[:run.Len], off)
		}
		if err != nil {
			return 0, err
		}
		off += run.Len
	}
	return time.Since(start), nil
}

func random(ctx context.Context, img formats.Image) (time.Duration, error) {
	start, buf, off := time.Now(), make([]byte, 4096), int64(0)
	for range benchReads {
		if err := block.ReadFull(ctx, img, buf, off); err != nil {
			return 0, err
		}
		if off += benchStep; off+4096 > img.Size() {
			off %= img.Size()
			off = min(off, img.Size()-4096) &^ 511
		}
	}
	return time.Since(start), nil
}
