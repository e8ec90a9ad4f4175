package api

// InspectionSchema names the shape of Inspection.
const InspectionSchema = "guestctl.inspection/1"

// Inspection is what is inside the disks of a guest: .guest/inspect.json and
// `guestctl inspect --json`.
//
// Strings that come from the guest are valid UTF-8 without control characters
// (U+FFFD stands for each) and have a bounded length. A string or number that
// the guest does not tell is left out.
type Inspection struct {
	Schema   string   `json:"schema"` // InspectionSchema
	Systems  []System `json:"systems"`
	Media    []Medium `json:"media,omitempty"`
	Warnings []string `json:"warnings"` // what could not be read, one line each
}

// System is one operating system. The names that Type, Arch, Distro,
// PackageFormat, PackageManagement and OSInfo take are libguestfs's, where it
// has one.
type System struct {
	Root string `json:"root"`           // the volume that holds its root: "sda2"
	Path string `json:"path,omitempty"` // of the root within that volume, where it is not its own root: an ostree deployment

	Type           string `json:"type"`             // "linux", "windows", "freebsd", "netbsd", "openbsd", "hurd", "minix", "dos"
	Arch           string `json:"arch,omitempty"`   // "x86_64", "i386", "aarch64", ...
	Distro         string `json:"distro,omitempty"` // "debian", "rhel", "windows", ...
	Name           string `json:"name"`             // for people, never empty
	ProductName    string `json:"product_name,omitempty"`
	ProductVariant string `json:"product_variant,omitempty"` // Windows: "Client", "Server", "Server Core"; Fedora: "Server Edition"
	Version        string `json:"version,omitempty"`         // as the guest writes it
	MajorVersion   int    `json:"major_version"`
	MinorVersion   int    `json:"minor_version"`
	Codename       string `json:"codename,omitempty"`
	BuildID        string `json:"build_id,omitempty"`

	PackageFormat     string `json:"package_format,omitempty"`     // "deb", "rpm", ...
	PackageManagement string `json:"package_management,omitempty"` // "apt", "dnf", ...

	Hostname  string `json:"hostname,omitempty"`
	OSInfo    string `json:"osinfo,omitempty"`     // short id of libosinfo: "debian12"
	UsrMerge  string `json:"usr_merge,omitempty"`  // Linux: "merged" where /bin is a link into /usr, else "split"
	MachineID string `json:"machine_id,omitempty"` // of systemd or D-Bus

	Timezone string `json:"timezone,omitempty"` // "Europe/Paris"; Windows: "W. Europe Standard Time"

	Locale   string `json:"locale,omitempty"`    // LANG: "en_US.UTF-8"
	SELinux  string `json:"selinux,omitempty"`   // "enforcing", "permissive", "disabled", as it is configured
	AppArmor string `json:"apparmor,omitempty"`  // "enabled" where it starts with the system, "installed" where not
	LastBoot string `json:"last_boot,omitempty"` // RFC 3339, when the system was started last
	LastStop string `json:"last_stop,omitempty"` // RFC 3339, when it was shut down last

	Kernels   []Kernel   `json:"kernels,omitempty"`
	Boot      *BootEntry `json:"boot,omitempty"`
	HostKeys  []SSHKey   `json:"host_keys,omitempty"` // of its SSH server
	CloudInit *CloudInit `json:"cloud_init,omitempty"`

	Certificates []Certificate `json:"certificates,omitempty"` // of services; trust stores are left out

	Users    []User    `json:"users,omitempty"`
	Groups   []Group   `json:"groups,omitempty"`
	Services []Service `json:"services,omitempty"` // those that it starts by itself; `guestctl services` has the others and drivers
	Network  *Network  `json:"network,omitempty"`

	Windows *Windows `json:"windows,omitempty"`

	Mountpoints []Mountpoint       `json:"mountpoints"` // the root first
	Filesystems []SystemFilesystem `json:"filesystems"` // those that belong to it, swap included
	Sources     map[string]string  `json:"sources"`     // JSON name of a field -> where it is from: "/etc/hostname:1"
	Warnings    []string           `json:"warnings,omitempty"`
}

// Windows is what only Windows has.
type Windows struct {
	SystemRoot        string         `json:"systemroot"` // "/Windows", as the filesystem has the names
	CurrentControlSet string         `json:"current_control_set,omitempty"`
	GroupPolicy       bool           `json:"group_policy,omitempty"` // policies of a domain are in force
	SoftwareHive      string         `json:"software_hive,omitempty"`
	SystemHive        string         `json:"system_hive,omitempty"`
	DriveMappings     []DriveMapping `json:"drive_mappings,omitempty"`
}

// DriveMapping is a drive letter of Windows.
type DriveMapping struct {
	Letter string `json:"letter"` // "C"
	Device string `json:"device"` // volume: "sda2"
}

// Mountpoint is a filesystem in the system's tree.
type Mountpoint struct {
	Path   string `json:"path"`             // "/", "/boot"
	Device string `json:"device"`           // volume
	Spec   string `json:"spec,omitempty"`   // as the guest names it
	Source string `json:"source,omitempty"` // "/etc/fstab:3"
}

// SystemFilesystem is a filesystem of a system.
type SystemFilesystem struct {
	Device string `json:"device"` // volume
	Type   string `json:"type,omitempty"`
	Label  string `json:"label,omitempty"`
	UUID   string `json:"uuid,omitempty"`
}

// Medium is a filesystem from which systems are installed or run, and which is
// none itself.
type Medium struct {
	Device string `json:"device"` // volume
	Use    string `json:"use"`    // "installer", "live"
	Type   string `json:"type"`   // as System has it
	Distro string `json:"distro,omitempty"`
	Name   string `json:"name"` // for people
	Arch   string `json:"arch,omitempty"`
	Source string `json:"source"` // the file that says so
}
