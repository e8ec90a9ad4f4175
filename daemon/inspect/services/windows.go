package services

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/hive"
	"github.com/guestctl/guestctl/daemon/inspect/registry"
)

const servicesKey = `HKLM\SYSTEM\CurrentControlSet\Services`

// Types of a service, by winnt.h.
const (
	kernelDriver = 0x01
	systemDriver = 0x02
	ownProcess   = 0x10
	sharesOne    = 0x20
)

// Windows lists the services and drivers of a Windows. The error is ctx's.
func Windows(ctx context.Context, reg *registry.Registry) (*List, error) {
	l := &List{ctx: ctx, Services: []api.Service{}}
	k, err := reg.Open(servicesKey)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.warn("the services are not known: %v", err)
		}
		return l, ctx.Err()
	}
	for sub, err := range k.Subkeys() {
		if err != nil {
			l.warn("%s: %v", servicesKey, err)
			continue
		}
		l.service(sub)
	}
	l.sort()
	return l, ctx.Err()
}

// service takes a key that says when it is started.
func (l *List) service(k *hive.Key) {
	value := func(name string) hive.Value {
		v, err := k.Value(name)
		if err != nil {
			return hive.Value{}
		}
		return v
	}
	start, ok := value("Start").Number()
	kind, _ := value("Type").Number()
	if !ok {
		return
	}
	s := api.Service{Name: k.Name(), Manager: "windows", Description: value("DisplayName").Text(), Command: value("ImagePath").Text(), Account: value("ObjectName").Text(), Source: servicesKey + `\` + k.Name()}
	switch {
	case kind&(ownProcess|sharesOne) != 0:
		s.Kind = "service"
	case kind == kernelDriver || kind == systemDriver:
		s.Kind = "driver"
	default:
		return
	}
	if starts := []string{"boot", "system", "auto", "manual", "disabled"}; start < uint64(len(starts)) {
		s.Start = starts[start]
	} else {
		return
	}
	if n, _ := value("DelayedAutostart").Number(); n == 1 && s.Start == "auto" {
		s.Start = "delayed"
	}
	if strings.HasPrefix(s.Description, "@") {
		s.Description = "" // the text is in a program
	}
	l.add(s)
}
