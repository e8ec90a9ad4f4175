package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
)

// version is set by the linker.
var version = "unknown"

const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// An exitError ends the program with a status, after all was said.
type exitError struct{ status int }

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// run does what argv, without the program's name, asks for, and answers the
// exit status.
func run(ctx context.Context, argv []string, stdout, stderr io.Writer) int {
	app := newApp(stdout, stderr)
	argv, err := arrange(app, argv)
	if err == nil {
		err = app.RunContext(ctx, append([]string{app.Name}, argv...))
	}
	failed := exitFailed
	if len(argv) > 0 && (argv[0] == "grep" || argv[0] == "diff") {
		failed = exitUsage // as their namesakes have it
	}
	exit := (*exitError)(nil)
	usage := (*args.UsageError)(nil)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return exit.status
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "guestctl: %v\n", err)
		help := "guestctl --help"
		if len(argv) > 0 && app.Command(argv[0]) != nil {
			help = "guestctl " + argv[0] + " --help"
		}
		fmt.Fprintf(stderr, "Try `%s`.\n", help)
		return exitUsage
	case errors.Is(err, syscall.EPIPE):
		return failed // whoever reads it has left; SIGPIPE says so where it is not ignored
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(stderr, "guestctl: interrupted")
		return failed
	}
	fmt.Fprintf(stderr, "guestctl: %s\n", explain(err))
	return failed
}

func newApp(stdout, stderr io.Writer) *cli.App {
	s := &streams{stdout, stderr}
	app := &cli.App{
		Name:  "guestctl",
		Usage: "read and change the files of virtual machines' disk images, without mounting them",
		Description: "A place in a guest is written IMAGE:/path; the path is the guest's own where one operating system is found, else\n" +
			"it begins with the name of a filesystem. IMAGE:sda2:/path is a path in that filesystem, and\n" +
			"IMAGE@SNAPSHOT:/path one in an internal snapshot. Options may stand anywhere.",
		HideVersion:               true,
		Writer:                    stdout,
		ErrWriter:                 stderr,
		DisableSliceFlagSeparator: true,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              onUsageError,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return args.Usage("there is no command %q", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
		// A group a line; a command is one line in its own file besides.
		Commands: slices.Concat(
			s.daemonCommands(),
			[]*cli.Command{s.filesystemsCommand(), s.dfCommand(), s.lsCommand(), s.findCommand(), s.statCommand()},
			[]*cli.Command{s.catCommand(), s.cpCommand(), s.tarCommand(), s.checksumCommand(), s.grepCommand()},
			[]*cli.Command{s.mkdirCommand(), s.rmCommand(), s.mvCommand(), s.lnCommand(), s.chmodCommand(), s.touchCommand(), s.truncateCommand(), s.writeCommand()},
			[]*cli.Command{s.inspectCommand(), s.packagesCommand(), s.usersCommand(), s.servicesCommand(), s.networkCommand(), s.registryCommand(), s.diffCommand(), s.checkCommand()},
			[]*cli.Command{s.schemaCommand(), s.completionCommand(), s.demoCommand(), s.versionCommand()},
		),
	}
	route(app)
	for _, c := range app.Commands {
		c.OnUsageError = onUsageError
		c.HideHelp = true // helpFlag stands in for it
	}
	return app
}

func onUsageError(_ *cli.Context, err error, _ bool) error { return args.Usage("%s", err) }

// streams are where output goes.
type streams struct{ out, err io.Writer }
