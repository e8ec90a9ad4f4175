package api

// The schemas of what is known of a system's users, services and network.
const (
	UsersSchema    = "guestctl.users/1"
	ServicesSchema = "guestctl.services/1"
	NetworksSchema = "guestctl.networks/1"
)

// Users are the accounts of a guest's systems: `guestctl users --json`. Strings
// are as in Inspection.
type Users struct {
	Schema   string        `json:"schema"` // UsersSchema
	Systems  []SystemUsers `json:"systems"`
	Warnings []string      `json:"warnings"`
}

// SystemUsers are the accounts of one system.
type SystemUsers struct {
	Root     string   `json:"root"`           // as System has it
	Path     string   `json:"path,omitempty"` // as System has it
	Name     string   `json:"name"`           // of the system
	Users    []User   `json:"users"`
	Groups   []Group  `json:"groups"`
	Warnings []string `json:"warnings,omitempty"`
}

// User is an account. A password is never part of it, nor its hash.
type User struct {
	Name            string   `json:"name"`
	UID             *int64   `json:"uid,omitempty"`
	GID             *int64   `json:"gid,omitempty"` // of the primary group
	SID             string   `json:"sid,omitempty"` // of Windows; the RID alone where the domain is not known
	FullName        string   `json:"full_name,omitempty"`
	Home            string   `json:"home,omitempty"`
	Shell           string   `json:"shell,omitempty"`
	Groups          []string `json:"groups,omitempty"`           // names of the groups that list the user
	Password        string   `json:"password,omitempty"`         // "set", "none" (none is asked for), "locked" (one is set and does not count), "unusable" (no password is right)
	PasswordChanged string   `json:"password_changed,omitempty"` // RFC 3339; of Unix the day alone
	Expires         string   `json:"expires,omitempty"`          // day from which the account cannot be used
	Disabled        bool     `json:"disabled,omitempty"`         // of Windows
	LastLogin       string   `json:"last_login,omitempty"`       // RFC 3339
	AuthorizedKeys  []SSHKey `json:"authorized_keys,omitempty"`
	Source          string   `json:"source"` // "/etc/passwd:3"
}

// Group is a group of users.
type Group struct {
	Name    string   `json:"name"`
	GID     *int64   `json:"gid,omitempty"`
	Members []string `json:"members,omitempty"` // those that are listed
	Source  string   `json:"source"`
}

// SSHKey is a public key.
type SSHKey struct {
	Type        string `json:"type"`              // "ssh-ed25519"
	Fingerprint string `json:"fingerprint"`       // as ssh-keygen prints it: "SHA256:..."
	Comment     string `json:"comment,omitempty"` // beside the key
	Source      string `json:"source"`
}

// Services are what a guest's systems start: `guestctl services --json`.
type Services struct {
	Schema   string           `json:"schema"` // ServicesSchema
	Systems  []SystemServices `json:"systems"`
	Warnings []string         `json:"warnings"`
}

// SystemServices are the services of one system.
type SystemServices struct {
	Root     string    `json:"root"`           // as System has it
	Path     string    `json:"path,omitempty"` // as System has it
	Name     string    `json:"name"`           // of the system
	Services []Service `json:"services"`       // by manager and name
	Warnings []string  `json:"warnings,omitempty"`
}

// Service is what a system can start by itself.
type Service struct {
	Name        string   `json:"name"`                  // "ssh.service", "Dhcp"
	Manager     string   `json:"manager"`               // "systemd", "sysvinit", "openrc", "rc" (BSD), "windows"
	Start       string   `json:"start"`                 // "enabled", "disabled", "masked", "static", "indirect"; Windows: "boot", "system", "auto", "delayed", "manual", "disabled"
	When        []string `json:"when,omitempty"`        // targets, runlevels
	Kind        string   `json:"kind,omitempty"`        // Windows: "service", "driver"
	Description string   `json:"description,omitempty"` // for people
	Command     string   `json:"command,omitempty"`
	Account     string   `json:"account,omitempty"` // that it runs as, where it is told
	Source      string   `json:"source"`
}

// Networks are the networks of a guest's systems: `guestctl network --json`.
type Networks struct {
	Schema   string          `json:"schema"` // NetworksSchema
	Systems  []SystemNetwork `json:"systems"`
	Warnings []string        `json:"warnings"`
}

// SystemNetwork is the network of one system.
type SystemNetwork struct {
	Root     string   `json:"root"`           // as System has it
	Path     string   `json:"path,omitempty"` // as System has it
	Name     string   `json:"name"`           // of the system
	Network  Network  `json:"network"`
	Warnings []string `json:"warnings,omitempty"`
}

// Network is how a system is to reach others, by its configuration.
type Network struct {
	Interfaces  []Interface    `json:"interfaces"`
	Nameservers []NetworkFact  `json:"nameservers,omitempty"` // of all interfaces
	Search      []NetworkFact  `json:"search,omitempty"`      // domains
	Hosts       []HostsAddress `json:"hosts,omitempty"`       // of the hosts file, those of the machine itself left out
}

// NetworkFact is an address or domain.
type NetworkFact struct {
	Value  string `json:"value"`
	Source string `json:"source"`
}

// HostsAddress is a line of the hosts file.
type HostsAddress struct {
	Address string   `json:"address"`
	Names   []string `json:"names"`
	Source  string   `json:"source"`
}

// Interface is a network interface, as one file or key describes it.
type Interface struct {
	Name        string   `json:"name"`                // "eth0", a pattern, or the name of a connection
	ID          string   `json:"id,omitempty"`        // Windows: GUID; NetworkManager: UUID
	Manager     string   `json:"manager"`             // "netplan", "ifupdown", "networkd", "NetworkManager", "ifcfg", "rc.conf", "windows"
	Type        string   `json:"type,omitempty"`      // "ethernet", "bond", "bridge", "vlan", "wifi", ...
	MAC         string   `json:"mac,omitempty"`       // by which the interface is known, or which it gets
	Method      []string `json:"method,omitempty"`    // "dhcp4", "dhcp6", "static", "auto6", "disabled", "manual"
	Addresses   []string `json:"addresses,omitempty"` // "192.0.2.1/24"
	Leased      []string `json:"leased,omitempty"`    // addresses that DHCP gave last
	Gateways    []string `json:"gateways,omitempty"`
	Nameservers []string `json:"nameservers,omitempty"`
	Search      []string `json:"search,omitempty"` // domains
	Source      string   `json:"source"`
}

// Kernel is a Linux kernel.
type Kernel struct {
	Version string `json:"version"`           // "6.1.0-18-amd64"
	Image   string `json:"image"`             // its file
	Initrd  string `json:"initrd,omitempty"`  // of the same version
	Modules string `json:"modules,omitempty"` // folder of its modules
	Default bool   `json:"default,omitempty"` // the boot loader starts it
	Source  string `json:"source"`
}

// BootEntry is what a boot loader starts when nobody chooses.
type BootEntry struct {
	Loader  string   `json:"loader"`            // "grub2", "systemd-boot", "extlinux", "grub"
	ID      string   `json:"id,omitempty"`      // of the entry
	Title   string   `json:"title,omitempty"`   // as the menu shows it
	Kernel  string   `json:"kernel,omitempty"`  // file
	Initrds []string `json:"initrds,omitempty"` // files
	Cmdline string   `json:"cmdline,omitempty"` // of the kernel; variables are not expanded
	Source  string   `json:"source"`
}

// CloudInit is what cloud-init did last.
type CloudInit struct {
	InstanceID string `json:"instance_id,omitempty"`
	Datasource string `json:"datasource,omitempty"` // "DataSourceOpenStack"
	Disabled   bool   `json:"disabled,omitempty"`   // /etc/cloud/cloud-init.disabled is there
	Source     string `json:"source"`
}

// Certificate is an X.509 certificate that lies where services have theirs.
type Certificate struct {
	Subject   string   `json:"subject"`         // "CN=www.example.com"
	Issuer    string   `json:"issuer"`          // as Subject
	Names     []string `json:"names,omitempty"` // host names and addresses that it is for
	NotBefore string   `json:"not_before"`      // RFC 3339
	NotAfter  string   `json:"not_after"`       // RFC 3339, when it expires
	CA        bool     `json:"ca,omitempty"`    // it may sign others
	SHA256    string   `json:"sha256"`          // of the certificate, in hex
	Source    string   `json:"source"`
}
