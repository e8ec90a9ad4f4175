package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	systemd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/client"
	"github.com/guestctl/guestctl/daemon/service"
	"github.com/guestctl/guestctl/daemon/trace"
)

// version is set by the linker.
var version = "unknown"

const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// defaultConfig is read where it exists and --config names no other.
const defaultConfig = "/etc/guestctl/guestctld.json"

const usageText = `guestctld holds disk images open, mounts them, and answers on a control socket.

  guestctld [options]

      --socket=PATH       listen there ($GUESTCTL_SOCKET, else /run/guestctl/guestctl.sock for root,
                          else $XDG_RUNTIME_DIR/guestctl/guestctl.sock); a socket from systemd goes before
      --config=FILE       read the configuration, JSON (root: ` + defaultConfig + `, if it exists)
      --print-config      print what is configured, defaults included, and leave
      --verify-audit=FILE check that an audit log is whole, and leave
  -v, --verbose           log what happens; twice: everything
  -V, --version           print the version
      --help              print this

Exit status: 0 ended in order, 1 an error, 2 a wrong command line.
`

func flags() []args.Flag {
	return []args.Flag{
		{Names: []string{"config"}, Arg: args.Required},
		{Names: []string{"help"}},
		{Names: []string{"print-config"}},
		{Names: []string{"socket"}, Arg: args.Required},
		{Names: []string{"verbose", "v"}},
		{Names: []string{"verify-audit"}, Arg: args.Required},
		{Names: []string{"version", "V"}},
	}
}

type options struct {
	show    string // print that and leave
	socket  string
	config  string
	audit   string
	verbose int
}

func parse(argv []string) (*options, error) {
	line, err := args.Parse(flags(), argv)
	if err != nil {
		return nil, err
	}
	o := &options{}
	for _, opt := range line.Options {
		switch opt.Name {
		case "help", "version", "print-config":
			o.show = opt.Name
		case "verify-audit":
			o.show, o.audit = opt.Name, opt.Value
		case "socket":
			o.socket = opt.Value
		case "config":
			o.config = opt.Value
		case "verbose":
			o.verbose++
		}
	}
	if len(line.Args) > 0 {
		return nil, args.Usage("%q is no option", line.Args[0])
	}
	return o, nil
}

func main() {
	if status, worker := service.RunWorker(); worker {
		os.Exit(status)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(argv []string, stdout, stderr io.Writer) int {
	o, err := parse(argv)
	if err != nil {
		fmt.Fprintf(stderr, "guestctld: %v\nTry `guestctld --help`.\n", err)
		return exitUsage
	}
	switch o.show {
	case "help":
		fmt.Fprint(stdout, usageText)
		return exitDone
	case "version":
		fmt.Fprintln(stdout, "guestctld", version)
		return exitDone
	case "verify-audit":
		n, err := service.VerifyAudit(o.audit)
		if err != nil {
			fmt.Fprintf(stderr, "guestctld: audit log %s: %v\n", o.audit, err)
			return exitFailed
		}
		fmt.Fprintf(stdout, "%d entries, whole\n", n)
		return exitDone
	}
	if err := o.serve(stdout); err != nil {
		fmt.Fprintf(stderr, "guestctld: %v\n", err)
		return exitFailed
	}
	return exitDone
}

// configuration reads the file, if there is one.
func (o *options) configuration() (service.Config, error) {
	name := o.config
	if name == "" && os.Geteuid() == 0 {
		if _, err := os.Stat(defaultConfig); err == nil {
			name = defaultConfig
		}
	}
	if name == "" {
		return service.DefaultConfig(), nil
	}
	return service.ReadConfig(name)
}

// gcPercent makes the collector work a little harder: the broker holds little
// and passes much through.
const gcPercent = 50

// lastSpans is how long the end may wait for a collector of traces.
const lastSpans = 2 * time.Second

func (o *options) serve(stdout io.Writer) error {
	cfg, err := o.configuration()
	if err != nil {
		return err
	}
	if o.show == "print-config" {
		return printConfig(stdout, cfg)
	}
	debug.SetGCPercent(gcPercent)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Ignore(syscall.SIGHUP)
	cfg.Version, cfg.Log = version, newLog(o.verbose)
	if cfg.Tracer, err = trace.FromEnvironment("guestctld", version, cfg.Log); err != nil {
		return err
	}
	held, listener, err := o.listener(&cfg)
	if err != nil {
		return err
	}
	defer held.Release()
	broker, err := service.NewBroker(cfg)
	if err != nil {
		return errors.Join(err, closeIf(listener))
	}
	if listener == nil {
		if listener, err = held.Listen(cfg.Group); err != nil {
			return errors.Join(err, broker.Shutdown(context.Background()))
		}
	}
	server := service.NewServer(broker)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	cfg.Log.Info("ready", "socket", cfg.Socket, "version", version)
	o.notify(cfg.Log, systemd.SdNotifyReady+"\nSTATUS=Listening on "+cfg.Socket)
	stopWatch := watchdog(cfg.Socket, cfg.Log)
	defer stopWatch()
	select {
	case err = <-served:
	case s := <-signals:
		cfg.Log.Info("stopping", "signal", s.String())
	}
	o.notify(cfg.Log, systemd.SdNotifyStopping)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case s := <-signals:
			cfg.Log.Warn("stopping at once", "signal", s.String())
			cancel()
		case <-ctx.Done():
		}
	}()
	err = errors.Join(err, server.Shutdown(ctx))
	last, done := context.WithTimeout(ctx, lastSpans)
	defer done()
	cfg.Tracer.Close(last)
	return err
}

// listener takes the socket that systemd passes; nil where there is none yet.
func (o *options) listener(cfg *service.Config) (*service.Held, net.Listener, error) {
	passed, err := activation.Listeners()
	if err != nil {
		return nil, nil, err
	}
	if len(passed) > 1 || len(passed) == 1 && passed[0] == nil {
		return nil, nil, errors.New("systemd passes one unix socket to this program, no more and nothing else")
	}
	if len(passed) == 1 {
		l, ok := passed[0].(*net.UnixListener)
		if !ok {
			return nil, nil, fmt.Errorf("the socket that systemd passes is %s: a unix socket is needed", passed[0].Addr().Network())
		}
		l.SetUnlinkOnClose(false) // it is systemd's
		cfg.Socket = l.Addr().String()
		held, err := service.HoldSocket(cfg.Socket)
		if err != nil {
			return nil, nil, errors.Join(err, l.Close())
		}
		held.Lend()
		return held, l, nil
	}
	cfg.Socket = o.socket
	if cfg.Socket == "" {
		cfg.Socket = client.DefaultSocket()
	}
	if len(cfg.Socket) >= len(unix.RawSockaddrUnix{}.Path) {
		return nil, nil, fmt.Errorf("the path %q is too long for a unix socket", cfg.Socket)
	}
	held, err := service.HoldSocket(cfg.Socket)
	return held, nil, err
}

func closeIf(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// notify tells systemd, where it started us.
func (o *options) notify(log *slog.Logger, state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		log.Warn("systemd could not be told", "state", state, "error", err)
	}
}
