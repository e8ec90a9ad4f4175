package main

import (
	"log/slog"
	"net"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/cmd/internal/mounts"
	engine "github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/lone"
	"github.com/guestctl/guestctl/mount"
)

// listen makes the control socket, beside the record of the mount; nil where
// there can be none, and the mount does without. Nobody is answered yet.
func listen(held *mounts.Held, log *slog.Logger) net.Listener {
	if held == nil {
		return nil
	}
	old := unix.Umask(0o177) // for its owner alone, from its first moment
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: held.Socket(), Net: "unix"})
	unix.Umask(old)
	if err != nil {
		log.Info("there is no control socket", "error", err)
		return nil
	}
	return l
}

// control answers on the socket, once the mount was announced.
func control(l net.Listener, spec engine.Spec, guest *engine.Guest, server *mount.Server, held *mounts.Held, log *slog.Logger) *lone.Server {
	if l == nil {
		return nil
	}
	return lone.Serve(l, lone.Config{Guest: guest, Spec: spec, Mount: server, MountID: held.ID(), Version: version, Log: log})
}

// absolute is a spec whose images are named from the root: the daemon leaves
// the folder that it was started in.
func absolute(spec engine.Spec) engine.Spec {
	spec.Images = slices.Clone(spec.Images)
	for i := range spec.Images {
		if abs, err := filepath.Abs(spec.Images[i].Path); err == nil {
			spec.Images[i].Path = abs
		}
	}
	return spec
}
