package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
)

// A work is one command over a mount, measured in the states given.
type work struct {
	name   string
	states []string // of "cold", "imgc", "warm"
	unit   string   // of what run answers
	more   bool     // more is better
	run    func(dir string) (float64, error)

	// aim is the ratio of ours to the kernel's that we want in a state: at most, or at least where more is better.
	aim map[string]float64

	subjects []string // nil is all but noxattr
}

// shell is a work that times a command with {} for the mount point.
func shell(command string) func(string) (float64, error) {
	return func(dir string) (float64, error) {
		return timed(replaceAll(command, dir))
	}
}

const bigFile = "srv/big/random.bin"

// A suite is what is measured on one image.
type suite struct {
	fstype   string
	name     string // stands before the names of its rows
	image    func(t testing.TB) images.Image
	works    []work
	directs  []direct
	subjects []subject
}

func suites() []suite {
	on := func(fstype string) func(t testing.TB) images.Image {
		return func(t testing.TB) images.Image { return images.BenchOn(t, fstype) }
	}
	// Half of ntfs-3g's time for metadata and small files, and never more than it takes.
	small := map[string]float64{"cold": 0.5, "imgc": 0.5, "warm": 0.5}
	large := map[string]float64{"cold": 1, "imgc": 1, "warm": 1}
	ntfs := smallWorks()
	for i := range ntfs {
		ntfs[i].aim = small
		if ntfs[i].unit == "IOPS" || strings.HasPrefix(ntfs[i].name, "seq") {
			ntfs[i].aim = large
		}
	}
	return []suite{
		{fstype: "ext4", image: images.Bench, works: works(), directs: directs()},
		{fstype: "xfs", name: "xfs: ", image: on("xfs"), works: smallWorks()},
		{fstype: "ntfs", name: "ntfs: ", image: on("ntfs"), works: ntfs},
	}
}

// smallWorks are those for which a smaller tree has what they need.
func smallWorks() (some []work) {
	for _, w := range works() {
		switch w.name {
		case "grep -r usr/share":
			continue
		case "seq 2 GiB":
			w.name = "seq 400 MiB"
		}
		some = append(some, w)
	}
	return some
}

func works() []work {
	all := []string{"cold", "imgc", "warm"}
	withNoxattr := []string{"guestctl", "noxattr", "kernel", "kernel-dio", "fuse2fs", "ntfs-3g"}
	return []work{
		{name: "find -printf %s", states: all, unit: "s", run: shell(`find {} -printf '%s\n' >/dev/null`),
			aim: map[string]float64{"cold": 1.2, "warm": 1.15}},
		{name: "ls -lR", states: []string{"cold", "warm"}, unit: "s", run: shell(`ls -lR {} >/dev/null`), subjects: withNoxattr,
			aim: map[string]float64{"cold": 1.2, "warm": 1.15}},
		{name: "tar small", states: all, unit: "s", run: shell(`tar -C {}/srv -cf - small | cat >/dev/null`),
			aim: map[string]float64{"cold": 0.5, "imgc": 0.5, "warm": 1.15}},
		{name: "grep -r small", states: []string{"cold", "warm"}, unit: "s", run: shell(`grep -r 'file number 19999' {}/srv/small >/dev/null`),
			aim: map[string]float64{"cold": 0.7, "warm": 1.15}},
		{name: "grep -r usr/share", states: []string{"cold", "warm"}, unit: "s", run: shell(`grep -r 'no such needle' {}/usr/share >/dev/null || [ $? = 1 ]`),
			aim: map[string]float64{"cold": 0.7, "warm": 1.15}},
		{name: "seq 2 GiB", states: all, unit: "s", run: shell(`dd if={}/` + bigFile + ` of=/dev/null bs=1M status=none`),
			aim: map[string]float64{"cold": 0.7, "imgc": 3, "warm": 2}},
		{name: "rand 4k, 1 job", states: []string{"cold", "imgc"}, unit: "IOPS", more: true, run: random(1), aim: map[string]float64{"cold": 0.85, "imgc": 0.85}},
		{name: "rand 4k, 4 jobs", states: []string{"cold", "imgc"}, unit: "IOPS", more: true, run: random(4), aim: map[string]float64{"cold": 0.85, "imgc": 0.85}},
	}
}

// random reads 4 KiB blocks at random for three seconds.
func random(jobs int) func(string) (float64, error) {
	return func(dir string) (float64, error) {
		out, err := output(fmt.Sprintf("fio --name=r --filename='%s' --readonly --rw=randread --bs=4k --ioengine=psync --numjobs=%d --time_based --runtime=3 --group_reporting --invalidate=0 --randseed=7 --output-format=json",
			filepath.Join(dir, bigFile), jobs))
		if err != nil {
			return 0, err
		}
		var r struct {
			Jobs []struct {
				Read struct {
					IOPS float64 `json:"iops"`
				} `json:"read"`
			} `json:"jobs"`
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Jobs) == 0 {
			return 0, fmt.Errorf("fio said %.200q: %w", out, err)
		}
		return r.Jobs[0].Read.IOPS, nil
	}
}
