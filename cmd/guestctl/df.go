package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/usage"
)

func (s *streams) dfCommand() *cli.Command {
	return &cli.Command{
		Name: "df", Usage: "say how full the filesystems of images are", ArgsUsage: "IMAGE[:VOLUME]...", Category: "Look",
		Description: "One line for each filesystem of each image, as df(1) has them, in blocks of 1024 bytes; several images are read at a\n" +
			"time. With --json each is an object of the shape guestctl.df/1, with numbers of bytes.",
		Flags: append(commonFlags(), jsonFlag(),
			&cli.BoolFlag{DisableDefaultText: true, Name: "human-readable", Usage: "sizes like 1.2G; also -h"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "inodes", Aliases: []string{"i"}, Usage: "numbers of inodes instead of sizes"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "all", Aliases: []string{"a"}, Usage: "volumes that hold no filesystem, too"},
		),
		Action: s.guestAction(1, -1, runDf),
	}
}

func runDf(s *session, argv []string) error {
	var targets []target
	var specs []daemon.Spec
	for _, arg := range argv {
		t, err := parseTarget(arg)
		if err != nil {
			return err
		}
		spec, err := s.spec(t)
		if err != nil {
			return err
		}
		targets, specs = append(targets, t), append(specs, spec)
	}
	p := s.startCount("images asked", int64(len(argv)), s.cli.Bool("json"))
	defer p.end()
	rows := [][]string{s.dfHeading()}
	err := usage.Each(s.ctx, len(specs), func(ctx context.Context, i int) ([]api.Usage, error) { return s.usage(ctx, targets[i], specs[i]) }, func(i int, list []api.Usage, err error) error {
		p.add(1)
		if err != nil {
			s.fail(openError(targets[i], err))
			return s.ctx.Err()
		}
		seen, told := false, s.failures
		before := len(rows)
		for _, u := range list {
			if u.Image, u.Snapshot = targets[i].image, specs[i].Images[0].Snapshot; targets[i].volume != "" && u.Filesystem != targets[i].volume {
				continue
			}
			seen = true
			if s.cli.Bool("json") {
				if err := s.out.json.Encode(u); err != nil {
					return err
				}
			} else if row := s.dfRow(targets[i], u); u.Readable || u.Type != "" || s.cli.Bool("all") {
				rows = append(rows, row)
			}
			if u.Error != "" && u.Type != "" && !u.Readable && (targets[i].volume != "" || !isQuietType(u.Type)) {
				s.fail(fmt.Errorf("%s of %s (%s): %s", u.Filesystem, shown(u.Image), u.Type, u.Error))
			}
		}
		if !seen && targets[i].volume != "" {
			s.fail(fmt.Errorf("%s has no volume %s; `guestctl filesystems %s` lists them: %w", shown(targets[i].image), targets[i].volume, shown(targets[i].image), syscall.ENOENT))
		}
		if len(rows) == before && s.failures == told && !s.cli.Bool("json") {
			s.fail(fmt.Errorf("no filesystem is found in %s; `guestctl filesystems %s` says what is on it", shown(targets[i].image), shown(targets[i].image)))
		}
		return nil
	})
	if len(rows) > 1 && (err == nil || !errors.Is(err, syscall.EPIPE)) {
		p.end()
		printTable(s.out, rows)
	}
	return err
}

// usage asks an image through a daemon or in this process.
func (s *session) usage(ctx context.Context, t target, spec daemon.Spec) (list []api.Usage, err error) {
	r, err := s.daemon(t, false)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return usage.One(ctx, spec)
	}
	err = r.Usage(ctx, r.id, func(u api.Usage) error {
		list = append(list, u)
		return nil
	})
	return list, errors.Join(hostError(local(err)), r.end(ctx))
}

// isQuietType says whether a volume of this type has no files of its own, so
// that nobody misses its line.
func isQuietType(t string) bool {
	switch t {
	case "swap", "swsuspend", "LVM2_member", "linux_raid_member":
		return true
	}
	return false
}

func (s *session) dfHeading() []string {
	switch {
	case s.cli.Bool("inodes"):
		return []string{"FILESYSTEM", "TYPE", "INODES", "USED", "FREE", "USE%"}
	case s.cli.Bool("human-readable"):
		return []string{"FILESYSTEM", "TYPE", "SIZE", "USED", "AVAIL", "USE%"}
	}
	return []string{"FILESYSTEM", "TYPE", "1K-BLOCKS", "USED", "AVAILABLE", "USE%"}
}

func (s *session) dfRow(t target, u api.Usage) []string {
	t.volume, t.path = u.Filesystem, ""
	name := t.String()
	row := []string{shown(name[:len(name)-1]), dash(u.Type), "-", "-", "-", "-"}
	if !u.Readable {
		return row
	}
	size := func(n int64) string { return strconv.FormatInt((n+1023)/1024, 10) }
	switch {
	case s.cli.Bool("inodes"):
		if u.Inodes > 0 {
			copy(row[2:], []string{strconv.FormatInt(u.Inodes, 10), strconv.FormatInt(u.InodesUsed, 10), strconv.FormatInt(u.InodesFree, 10), percent(u.InodesUsed, u.Inodes)})
		}
		return row
	case s.cli.Bool("human-readable"):
		size = humanSize
	}
	copy(row[2:], []string{size(u.Size), size(u.Used), size(u.Available), percent(u.Used, u.Used+u.Available)})
	return row
}

// percent is part of all in percent, rounded up as df does.
func percent(part, all int64) string {
	if all <= 0 {
		return "-"
	}
	n := new(big.Int).Mul(big.NewInt(part), big.NewInt(100))
	n.Add(n, big.NewInt(all-1))
	return n.Quo(n, big.NewInt(all)).String() + "%"
}
