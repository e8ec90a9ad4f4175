package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/mounts"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/client"
)

func (s *streams) listCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "show attached images and mounts", Category: "Daemon",
		Description: "Shows the images and mounts of the daemon, and this user's mounts of guestmount. With --json one object of the shape\n" +
			"guestctl.list/1.",
		Flags: daemonFlags(),
		Action: s.daemonAction(0, 0, func(ctx context.Context, c *client.Client, x *cli.Context, out *output) error {
			r := api.List{Schema: api.ListSchema, Socket: c.Socket(), Images: []api.Image{}, Mounts: []api.Mount{}, Lone: []api.LoneMount{}}
			for _, m := range mounts.Mine() {
				r.Lone = append(r.Lone, api.LoneMount{PID: m.PID, Dir: m.Mount, Images: m.Images, Socket: m.Socket})
			}
			images, err := c.Images(ctx)
			switch {
			case err == nil:
				r.Images = append(r.Images, images...)
				list, err := c.Mounts(ctx)
				if err != nil {
					return err
				}
				r.Mounts = append(r.Mounts, list...)
			case isUnreachable(err) && !x.IsSet("socket"):
				r.Socket = "" // there need be none
			default:
				return err
			}
			if x.Bool("json") {
				return out.json.Encode(r)
			}
			printList(&r, out)
			return nil
		}),
	}
}

func printList(r *api.List, out *output) {
	dirs := map[string][]string{}
	for _, m := range r.Mounts {
		dirs[m.Image] = append(dirs[m.Image], out.name(m.Dir))
	}
	rows := [][]string{{"ID", "STATE", "USED", "MEMORY", "MOUNTED ON", "IMAGE"}}
	for _, img := range r.Images {
		var paths []string
		for _, i := range img.Images {
			paths = append(paths, out.name(i.Path))
		}
		memory := "-"
		if img.Worker != nil {
			memory = humanSize(img.Worker.MemoryBytes)
		}
		rows = append(rows, []string{img.ID, img.State, ago(img.Used), memory, dash(strings.Join(dirs[img.ID], " ")), strings.Join(paths, " ")})
	}
	for _, m := range r.Lone {
		since, memory := loneState(m.Socket)
		rows = append(rows, []string{fmt.Sprintf("pid %d", m.PID), "guestmount", since, memory, out.name(m.Dir), strings.Join(m.Images, " ")})
	}
	if len(rows) > 1 {
		printTable(out, rows)
	}
}

// loneState asks a guestmount, where it listens.
func loneState(socket string) (since, memory string) {
	if socket == "" {
		return "-", "-"
	}
	c := client.New(socket)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	h, err := c.Health(ctx)
	if err != nil {
		return "-", "-"
	}
	return ago(h.Started), humanSize(h.Memory)
}

func (s *streams) statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "say how the daemon is", Category: "Daemon",
		Description: "Exit status: 0 it answers, 1 it does not. With --json its own record of its health.",
		Flags:       daemonFlags(),
		Action: s.daemonAction(0, 0, func(ctx context.Context, c *client.Client, x *cli.Context, out *output) error {
			h, err := c.Health(ctx)
			if err != nil {
				return err
			}
			if x.Bool("json") {
				return out.json.Encode(h)
			}
			v, err := c.Version(ctx)
			if err != nil {
				return err
			}
			sandbox := "unknown"
			if h.Sandbox != nil {
				sandbox = inForce(*h.Sandbox)
			}
			for _, row := range [][2]string{
				{"Status", h.Status}, {"Socket", c.Socket()}, {"Access", h.Access}, {"Version", v.Version}, {"Process", fmt.Sprint(h.PID)},
				{"Running", "for " + ago(h.Started)}, {"Memory", humanSize(h.Memory) + ", without the workers"},
				{"Images", fmt.Sprintf("%d open, %d idle, %d failed", h.Images[api.StateOpen], h.Images[api.StateIdle], h.Images[api.StateFailed])},
				{"Workers", fmt.Sprint(h.Workers)}, {"Sandbox", sandbox}, {"Mounts", fmt.Sprint(h.Mounts)}, {"Jobs", fmt.Sprintf("%d running", h.Jobs)},
			} {
				if _, err := fmt.Fprintf(out, "%-8s %s\n", row[0], row[1]); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// inForce is a sandbox for people.
func inForce(s api.Sandbox) string {
	var list []string
	for _, part := range []struct {
		on   bool
		name string
	}{
		{s.Landlock > 0, fmt.Sprintf("Landlock %d", s.Landlock)}, {s.Seccomp, "seccomp"}, {s.NoNewPrivileges, "no new privileges"},
		{s.Capabilities == "none", "no capabilities"}, {s.Memory > 0, "memory " + humanSize(s.Memory)},
	} {
		if part.on {
			list = append(list, part.name)
		}
	}
	if len(list) == 0 {
		list = append(list, "none")
	}
	text := strings.Join(list, ", ") + " (" + s.Mode + ")"
	if len(s.Missing) > 0 {
		text += "; missing: " + strings.Join(s.Missing, "; ")
	}
	return text
}

func (s *streams) jobsCommand() *cli.Command {
	return &cli.Command{
		Name: "jobs", Usage: "show the daemon's jobs", Category: "Daemon",
		Description: "Shows those that run, and those that have ended and whose results are kept. With --json one object of the shape\n" +
			"guestctl.job/1 for each.",
		Flags: daemonFlags(),
		Action: s.daemonAction(0, 0, func(ctx context.Context, c *client.Client, x *cli.Context, out *output) error {
			jobs, err := c.Jobs(ctx)
			if err != nil {
				return err
			}
			rows := [][]string{{"ID", "KIND", "STATE", "STARTED", "READ", "RECORDS", "PROBLEMS", "IMAGE", "WHAT"}}
			for _, j := range jobs {
				if x.Bool("json") {
					if err := out.json.Encode(j); err != nil {
						return err
					}
					continue
				}
				rows = append(rows, []string{j.ID, j.Kind, j.State, ago(j.Started), humanSize(j.Bytes), fmt.Sprint(j.Records), fmt.Sprint(j.Problems), j.Image, dash(out.name(j.Query))})
			}
			if len(rows) > 1 {
				printTable(out, rows)
			}
			return nil
		}),
	}
}

func (s *streams) cancelCommand() *cli.Command {
	return &cli.Command{
		Name: "cancel", Usage: "end jobs of the daemon", ArgsUsage: "JOB...", Category: "Daemon",
		Description: "Ends those that run, and returns when they have ended; forgets those that have ended, with their results.",
		Flags:       slices.DeleteFunc(daemonFlags(), func(f cli.Flag) bool { return f.Names()[0] == "json" }),
		Action: s.daemonAction(1, -1, func(ctx context.Context, c *client.Client, x *cli.Context, _ *output) error {
			for _, id := range x.Args().Slice() {
				if err := c.CancelJob(ctx, id); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}
