package inspect

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"path"
	"strings"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/accounts"
	"github.com/guestctl/guestctl/daemon/inspect/hive"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// settings are the small facts about a system.
type settings struct {
	timezone, locale, selinux, apparmor, boot, stop fact
	hostKeys                                        []api.SSHKey
	cloud                                           *api.CloudInit
	certificates                                    []api.Certificate
	moreCertificates                                bool
}

// settings collects them. It only reads, so that others may at the same time.
func (r *report) settings() *settings {
	s := &settings{}
	if r.reg != nil {
		if v := openKey(r.reg, keyControl+`\Windows`).value("ShutdownTime"); len(v.Data) == 8 {
			s.stop = moment(hive.Time(binary.LittleEndian.Uint64(v.Data)), keyControl+`\Windows\ShutdownTime`)
		}
		return s
	}
	s.timezone = r.timezone()
	s.hostKeys = r.hostKeys()
	s.certificates, s.moreCertificates = r.certificates()
	s.boot, s.stop = r.wtmp()
	if r.sys.Kind != "linux" {
		return s
	}
	for _, file := range []string{"/etc/locale.conf", "/etc/default/locale", "/etc/sysconfig/i18n", "/etc/env.d/02locale"} {
		if s.locale = assigned(r.ctx, r.fs, file, "LANG"); s.locale.value != "" {
			break
		}
	}
	s.selinux = assigned(r.ctx, r.fs, "/etc/selinux/config", "SELINUX")
	s.apparmor = r.appArmor()
	s.cloud = r.cloudInit()
	return s
}

// keep writes them into the record.
func (s *settings) keep(r *report) {
	if r.reg == nil {
		r.set("timezone", &r.out.Timezone, s.timezone)
	}
	r.set("locale", &r.out.Locale, s.locale)
	r.set("selinux", &r.out.SELinux, s.selinux)
	r.set("apparmor", &r.out.AppArmor, s.apparmor)
	r.set("last_boot", &r.out.LastBoot, s.boot)
	r.set("last_stop", &r.out.LastStop, s.stop)
	if s.moreCertificates {
		r.warn("there are more than %d certificates; the rest is left out", maxCertificates)
	}
	r.out.HostKeys, r.out.CloudInit, r.out.Certificates = s.hostKeys, s.cloud, s.certificates
}

func moment(t time.Time, source string) fact {
	if t.IsZero() {
		return fact{}
	}
	return factOf(t.UTC().Format(time.RFC3339), source)
}

// timezone is the name that /etc/localtime links to, else what a file says.
func (r *report) timezone() fact {
	if to, err := r.fs.Link(r.ctx, "/etc/localtime"); err == nil {
		if _, name, ok := strings.Cut(path.Clean(to), "zoneinfo/"); ok {
			return factOf(strings.TrimPrefix(name, "posix/"), "/etc/localtime")
		}
	}
	if f := firstLine(r.ctx, r.fs, "/etc/timezone"); f.value != "" {
		return f
	}
	for _, c := range [][2]string{{"/etc/sysconfig/clock", "ZONE"}, {"/etc/sysconfig/clock", "TIMEZONE"}, {"/etc/rc.conf", "timezone"}} {
		if f := assigned(r.ctx, r.fs, c[0], c[1]); f.value != "" {
			return f
		}
	}
	return firstLine(r.ctx, r.fs, "/var/db/zoneinfo") // FreeBSD's tzsetup
}

// appArmor goes by the profiles, and by what loads them.
func (r *report) appArmor() fact {
	if !r.fs.IsDir(r.ctx, "/etc/apparmor.d") {
		return fact{}
	}
	for _, file := range []string{"/etc/systemd/system/sysinit.target.wants/apparmor.service", "/etc/systemd/system/multi-user.target.wants/apparmor.service", "/etc/rcS.d/S01apparmor", "/etc/runlevels/boot/apparmor"} {
		if _, err := r.fs.Lstat(r.ctx, file); err == nil {
			return factOf("enabled", file)
		}
	}
	if _, err := r.fs.Lstat(r.ctx, "/usr/sbin/apparmor_parser"); err == nil {
		return factOf("installed", "/usr/sbin/apparmor_parser")
	}
	return fact{}
}

// maxHostKeys bounds the keys of a server.
const maxHostKeys = 50

// hostKeys are the public keys beside the server's own.
func (r *report) hostKeys() []api.SSHKey {
	var list []api.SSHKey
	for _, file := range r.fs.Glob(r.ctx, "/etc/ssh", "ssh_host_*_key.pub") {
		lines, err := r.fs.Text(r.ctx, file)
		if err != nil || len(lines) == 0 || len(list) == maxHostKeys {
			continue
		}
		if k, ok := accounts.Key(lines[0]); ok {
			k.Source = look.At(file, 1)
			list = append(list, k)
		}
	}
	return list
}

// cloudInit reads what cloud-init keeps of the instance it set up.
func (r *report) cloudInit() *api.CloudInit {
	const dir = "/var/lib/cloud/data"
	c := &api.CloudInit{}
	if f := firstLine(r.ctx, r.fs, dir+"/instance-id"); f.value != "" {
		c.InstanceID, c.Source = f.value, f.source
	}
	if b, err := r.fs.Read(r.ctx, dir+"/result.json", look.MaxText); err == nil {
		var result struct {
			V1 struct {
				Datasource string `json:"datasource"`
			} `json:"v1"`
		}
		if json.Unmarshal(b, &result) == nil && result.V1.Datasource != "" {
			kind, _, _ := strings.Cut(result.V1.Datasource, " ")
			c.Datasource = look.Clean(kind)
			if c.Source == "" {
				c.Source = dir + "/result.json"
			}
		}
	}
	if r.fs.IsFile(r.ctx, "/etc/cloud/cloud-init.disabled") {
		c.Disabled = true
		if c.Source == "" {
			c.Source = "/etc/cloud/cloud-init.disabled"
		}
	}
	if c.Source == "" {
		return nil
	}
	return c
}

// A record of utmp(5) as glibc has it on 64-bit Linux.
const (
	utmpSize      = 384
	offUtmpType   = 0   // 16 bits
	offUtmpUser   = 44  // 32 bytes
	offUtmpTime   = 340 // 32 bits
	utmpBoot      = 2
	utmpRunLevel  = 1
	utmpUserLen   = 32
	utmpReadBytes = 4096 * utmpSize // the newest
)

// wtmp finds when the system was started and shut down last in what login(1) and
// init leave behind.
func (r *report) wtmp() (boot, stop fact) {
	const file = "/var/log/wtmp"
	if r.sys.Kind != "linux" {
		return
	}
	f, err := r.fs.Open(r.ctx, file, 1<<62)
	if err != nil || f.Size()%utmpSize != 0 {
		return
	}
	b := make([]byte, min(f.Size(), utmpReadBytes))
	if n, err := f.ReadAt(b, f.Size()-int64(len(b))); n < len(b) && (err != io.EOF || len(b) > 0) {
		return
	}
	for ; len(b) >= utmpSize; b = b[:len(b)-utmpSize] {
		u := b[len(b)-utmpSize:]
		user, _, _ := strings.Cut(string(u[offUtmpUser:offUtmpUser+utmpUserLen]), "\x00")
		t := time.Unix(int64(binary.LittleEndian.Uint32(u[offUtmpTime:])), 0)
		switch kind := binary.LittleEndian.Uint16(u[offUtmpType:]); {
		case kind == utmpBoot && user == "reboot" && boot.value == "":
			boot = moment(t, file)
		case kind == utmpRunLevel && user == "shutdown" && stop.value == "":
			stop = moment(t, file)
		}
	}
	return boot, stop
}
