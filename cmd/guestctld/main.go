package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/client"
	"github.com/guestctl/guestctl/daemon/service"
)

// version is set by the linker.
var version = "unknown"

const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// defaultConfig is read where it exists and --config names no other.
const defaultConfig = "/etc/guestctl/guestctld.toml"

const usageText = `guestctld holds disk images open, mounts them, and answers on a control socket.

  guestctld [options]

      --socket=PATH       listen there ($GUESTCTL_SOCKET, else /run/guestctl/guestctl.sock for root,
                          else $XDG_RUNTIME_DIR/guestctl/guestctl.sock); a socket from systemd goes before
      --config=FILE       read this configuration (root: ` + defaultConfig + `, if it exists)
      --check-config      say whether the configuration can be read, and leave
      --sandbox=MODE      lock the processes that parse images in: require (or fail), auto (as this host can; the
                          default), off
      --print-config      print what is configured, defaults included, and leave
      --verify-audit=FILE
                          check that an audit log is whole, and leave
  -v, --verbose           log what happens; twice: everything
  -V, --version           print the version
      --help              print this

SIGHUP reads the configuration again: settings that take a restart stay as they were, which the log says.

Exit status: 0 ended in order, 1 an error, 2 a wrong command line.
`

func flags() []args.Flag {
	return []args.Flag{
		{Names: []string{"check-config"}},
		{Names: []string{"config"}, Arg: args.Required},
		{Names: []string{"help"}},
		{Names: []string{"print-config"}},
		{Names: []string{"sandbox"}, Arg: args.Required},
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
	sandbox string // "" leaves it to the configuration
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
		case "help", "version", "check-config", "print-config":
			o.show = opt.Name
		case "verify-audit":
			o.show, o.audit = opt.Name, opt.Value
		case "sandbox":
			if o.sandbox = opt.Value; !slices.Contains([]string{"require", "auto", "off"}, o.sandbox) {
				return nil, args.Usage("--sandbox %q: it is require, auto or off", o.sandbox)
			}
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
	case "check-config":
		return o.checkConfig(stdout, stderr)
	case "print-config":
		cfg, err := o.configuration()
		if err == nil {
			err = cfg.Print(stdout)
		}
		if err != nil {
			fmt.Fprintf(stderr, "guestctld: %v\n", err)
			return exitFailed
		}
		return exitDone
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
	if err := o.serve(); err != nil {
		fmt.Fprintf(stderr, "guestctld: %v\n", err)
		return exitFailed
	}
	return exitDone
}

// configName is the file that the configuration is read from; "" where there is
// none.
func (o *options) configName() string {
	if o.config != "" || os.Geteuid() != 0 {
		return o.config
	}
	if _, err := os.Stat(defaultConfig); err != nil {
		return ""
	}
	return defaultConfig
}

// configuration reads the file, if there is one, and adds what the command line
// and systemd say.
func (o *options) configuration() (service.Config, error) {
	cfg := service.DefaultConfig()
	if name := o.configName(); name != "" {
		var err error
		if cfg, err = service.ReadConfig(name); err != nil {
			return cfg, err
		}
	}
	if o.sandbox != "" {
		cfg.Sandbox = o.sandbox
	}
	cfg.Version, cfg.Credentials = version, os.Getenv("CREDENTIALS_DIRECTORY")
	return cfg, nil
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
