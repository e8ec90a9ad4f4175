package service

import (
	"context"
	"net/http"
	"os"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/metrics"
)

// recordSchema is the schema of a record; of a list of records, one of them.
func recordSchema(a huma.API, record any) *huma.Schema {
	if several, ok := record.([]any); ok {
		s := &huma.Schema{}
		for _, r := range several {
			s.OneOf = append(s.OneOf, recordSchema(a, r))
		}
		return s
	}
	return a.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(record), true, "")
}

// The tags of the endpoints.
const (
	tagDaemon = "daemon"
	tagImages = "images"
	tagFiles  = "files"
	tagMounts = "mounts"
	tagJobs   = "jobs"
)

// ImageID is the id of an image in a path.
type ImageID struct {
	ID string `path:"id" maxLength:"64" doc:"id of an attached image"`
}

func (s *Server) daemonRoutes() {
	b := s.broker
	register(s, route("version", http.MethodGet, "/v1/version", "What the daemon is", tagDaemon),
		func(context.Context, Peer, *struct{}) (api.Version, error) {
			return daemon.Version(b.config().Version), nil
		})
	register(s, route("health", http.MethodGet, "/v1/health", "How the daemon is", tagDaemon),
		func(_ context.Context, by Peer, _ *struct{}) (api.Health, error) { return b.health(by), nil })
	registerStream(s, route("metrics", http.MethodGet, "/v1/metrics", "Metrics in Prometheus's text format", tagDaemon), []string{"text/plain"}, nil,
		func(ctx context.Context, _ Peer, _ *struct{}, w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
			return b.Metrics(ctx, w)
		})
	registerStream(s, route("events", http.MethodGet, "/v1/events", "What happens: JSON lines, or server-sent events where they are accepted", tagDaemon),
		[]string{api.JSONLines, eventStream}, api.Event{},
		func(ctx context.Context, _ Peer, q *api.EventQuery, w http.ResponseWriter, r *http.Request) error {
			return b.streamEvents(ctx, w, r, q.Since, q.Follow, func(api.Event) bool { return true }, nil)
		})
}

func (b *Broker) health(by Peer) api.Health {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := api.Health{Schema: api.HealthSchema, Status: "ok", PID: os.Getpid(), Started: b.start, Images: map[string]int{}, Mounts: len(b.mounts), Workers: len(b.workers), Sandbox: b.sandbox, Access: by.access()}
	if b.closing {
		h.Status = "stopping"
	}
	for _, img := range b.images {
		h.Images[img.state()]++
	}
	for _, j := range b.jobs {
		if j.state() == api.JobRunning {
			h.Jobs++
		}
	}
	h.Memory, _ = metrics.Memory(os.Getpid())
	return h
}

func (s *Server) imageRoutes() {
	b := s.broker
	register(s, route("list-images", http.MethodGet, "/v1/images", "Attached images", tagImages),
		func(_ context.Context, _ Peer, q *api.Page) (api.Images, error) { return b.Images(*q), nil })
	register(s, route("attach", http.MethodPost, "/v1/images", "Attach an image: open it, or add a reference to it", tagImages),
		func(ctx context.Context, by Peer, q *struct {
			Closed bool `query:"closed" doc:"open it at its first use, not now; it may be damaged"`
			Body   api.Attach
		}) (api.Image, error) {
			return b.Attach(ctx, by, q.Body, !q.Closed)
		})
	register(s, route("image", http.MethodGet, "/v1/images/{id}", "One image", tagImages),
		func(_ context.Context, _ Peer, q *ImageID) (api.Image, error) { return b.Image(q.ID) })
	type detach struct {
		ImageID
		Force bool `query:"force" doc:"unmount it, end what others do with it, and take all references away"`
	}
	registerDone(s, route("detach", http.MethodDelete, "/v1/images/{id}", "Take a reference away; the last one closes the image", tagImages),
		func(ctx context.Context, by Peer, q *detach) error { return b.Detach(ctx, by, q.ID, q.Force) })
	register(s, route("filesystems", http.MethodGet, "/v1/images/{id}/filesystems", "What is on the disks, as guestctl filesystems --json", tagImages),
		func(ctx context.Context, by Peer, q *ImageID) (api.Filesystems, error) {
			return b.Filesystems(ctx, by, q.ID)
		})
	register(s, route("volumes", http.MethodGet, "/v1/images/{id}/volumes", "What the disks are divided into", tagImages),
		func(ctx context.Context, by Peer, q *ImageID) (api.VolumeList, error) {
			f, err := b.Filesystems(ctx, by, q.ID)
			r := api.VolumeList{Volumes: []api.Volume{}}
			for _, v := range f.Filesystems {
				r.Volumes = append(r.Volumes, api.Volume{Name: v.Name, Disk: v.Disk, Offset: v.Offset, Size: v.Size, Partition: v.Partition})
			}
			return r, err
		})
	addFiles(s, route("inspect", http.MethodGet, "/v1/images/{id}/inspect", "Which operating systems are inside, as guestctl inspect --json", tagImages),
		[]string{"application/json"}, api.Inspection{}, func(q *ImageID) (string, any) { return q.ID, struct{}{} })
	addFiles(s, route("packages", http.MethodGet, "/v1/images/{id}/packages", "What is installed, as guestctl packages --json", tagImages),
		[]string{"application/json"}, api.Packages{}, func(q *packagesInput) (string, any) { return q.ID, q.PackageQuery })
	addFiles(s, route("usage", http.MethodGet, "/v1/images/{id}/usage", "How full the filesystems are, as guestctl df --json", tagImages),
		[]string{api.JSONLines}, api.Usage{}, func(q *ImageID) (string, any) { return q.ID, struct{}{} })
	addFiles(s, route("check", http.MethodGet, "/v1/images/{id}/check", "What is damaged, as guestctl check --json: findings, and behind them what was checked", tagImages),
		[]string{api.JSONLines}, []any{api.Finding{}, api.Check{}}, func(q *checkInput) (string, any) { return q.ID, q.CheckQuery })
}

func (s *Server) fileRoutes() {
	const at = "/v1/images/{id}/files"
	addFiles(s, route("list", http.MethodGet, at, "List files: one record a line", tagFiles), []string{api.JSONLines}, api.File{},
		func(q *listInput) (string, any) { return q.ID, q.ListQuery })
	addFiles(s, route("stat", http.MethodGet, at+"/stat", "All that is known of a file", tagFiles), []string{"application/json"}, api.File{},
		func(q *statInput) (string, any) { return q.ID, q.StatQuery })
	addFiles(s, route("find", http.MethodGet, at+"/find", "Find files: one record a line", tagFiles), []string{api.JSONLines}, api.File{},
		func(q *findInput) (string, any) { return q.ID, q.FindQuery })
	addFiles(s, route("grep", http.MethodGet, at+"/grep", "Search the contents of files: one record a line", tagFiles), []string{api.JSONLines}, api.Match{},
		func(q *grepInput) (string, any) { return q.ID, q.GrepQuery })
	addFiles(s, route("checksum", http.MethodGet, at+"/checksum", "Checksums: one record a line", tagFiles), []string{api.JSONLines}, api.Checksum{},
		func(q *checksumInput) (string, any) { return q.ID, q.ChecksumQuery })
	addFiles(s, route("read", http.MethodGet, at+"/content", "The bytes of a file; Range is understood", tagFiles), []string{"application/octet-stream"}, nil,
		func(q *readInput) (string, any) { return q.ID, q.Place })
	addFiles(s, route("diff", http.MethodGet, at+"/diff", "What differs from another place, in this image or in another, as guestctl diff --json", tagFiles),
		[]string{api.JSONLines}, api.Difference{}, func(q *diffInput) (string, any) { return q.ID, q.DiffQuery })
	addFiles(s, route("archive", http.MethodGet, at+"/archive",
		"A tree as a tar archive; the trailers "+api.ProblemsTrailer+" and "+api.NoticesTrailer+" say what could not be read", tagFiles), []string{"application/x-tar"}, nil,
		func(q *archiveInput) (string, any) { return q.ID, q.ArchiveQuery })
}

type (
	listInput struct {
		ImageID
		api.ListQuery
	}
	statInput struct {
		ImageID
		api.StatQuery
	}
	findInput struct {
		ImageID
		api.FindQuery
	}
	grepInput struct {
		ImageID
		api.GrepQuery
	}
	checksumInput struct {
		ImageID
		api.ChecksumQuery
	}
	readInput struct {
		ImageID
		api.Place
	}
	packagesInput struct {
		ImageID
		api.PackageQuery
	}
	checkInput struct {
		ImageID
		api.CheckQuery
	}
	diffInput struct {
		ImageID
		api.DiffQuery
	}
	archiveInput struct {
		ImageID
		api.ArchiveQuery
	}
)

// addFiles adds an endpoint for the operation of the same name, which the
// worker does; of answers the image and the operation's own parameters.
func addFiles[Q any](s *Server, op huma.Operation, types []string, record any, of func(*Q) (string, any)) {
	name := op.OperationID
	registerStream(s, op, types, record, func(ctx context.Context, _ Peer, q *Q, w http.ResponseWriter, r *http.Request) error {
		id, query := of(q)
		return s.broker.forward(ctx, id, name, api.Query(query), w, r)
	})
}

func (s *Server) mountRoutes() {
	b := s.broker
	register(s, route("list-mounts", http.MethodGet, "/v1/mounts", "Mounts", tagMounts),
		func(ctx context.Context, _ Peer, q *api.Page) (api.Mounts, error) { return b.Mounts(ctx, *q), nil })
	register(s, route("mount", http.MethodPost, "/v1/mounts", "Show an image in a folder of the host, read-only", tagMounts),
		func(ctx context.Context, by Peer, q *struct{ Body api.MountRequest }) (api.Mount, error) {
			r, err := b.Mount(ctx, by, q.Body)
			exchangeOf(ctx).image = r.Image
			return r, err
		})
	type MountID struct {
		ID string `path:"id" maxLength:"64" doc:"id of a mount"`
	}
	register(s, route("mount-info", http.MethodGet, "/v1/mounts/{id}", "One mount", tagMounts),
		func(ctx context.Context, _ Peer, q *MountID) (api.Mount, error) {
			exchangeOf(ctx).image = ""
			return b.MountAt(ctx, q.ID)
		})
	type unmount struct {
		MountID
		Lazy bool `query:"lazy" doc:"take one in use out of the tree, and do not wait for its users"`
	}
	registerDone(s, route("unmount", http.MethodDelete, "/v1/mounts/{id}", "Unmount; it returns when the image is released, if it was attached for the mount", tagMounts),
		func(ctx context.Context, by Peer, q *unmount) error {
			exchangeOf(ctx).image = ""
			return b.Unmount(ctx, by, q.ID, q.Lazy)
		})
}

func (s *Server) jobRoutes() {
	b := s.broker
	type JobID struct {
		ID string `path:"id" maxLength:"64" doc:"id of a job"`
	}
	register(s, route("list-jobs", http.MethodGet, "/v1/jobs", "Jobs", tagJobs),
		func(_ context.Context, _ Peer, q *api.Page) (api.Jobs, error) { return b.Jobs(*q), nil })
	register(s, route("start-job", http.MethodPost, "/v1/jobs", "Start long work that goes on without its client", tagJobs),
		func(ctx context.Context, by Peer, q *struct{ Body api.JobRequest }) (api.Job, error) {
			return b.StartJob(ctx, by, q.Body)
		})
	register(s, route("job", http.MethodGet, "/v1/jobs/{id}", "One job", tagJobs),
		func(ctx context.Context, _ Peer, q *JobID) (api.Job, error) {
			exchangeOf(ctx).image = ""
			return b.Job(q.ID)
		})
	registerDone(s, route("cancel-job", http.MethodDelete, "/v1/jobs/{id}", "Cancel a job that runs, forget one that has ended", tagJobs),
		func(ctx context.Context, by Peer, q *JobID) error {
			exchangeOf(ctx).image = ""
			return b.CancelJob(ctx, by, q.ID)
		})
	registerStream(s, route("job-events", http.MethodGet, "/v1/jobs/{id}/events", "Progress until the job's end: JSON lines, or server-sent events", tagJobs),
		[]string{api.JSONLines, eventStream}, api.Event{},
		func(ctx context.Context, _ Peer, q *JobID, w http.ResponseWriter, r *http.Request) error {
			exchangeOf(ctx).image = ""
			return b.streamJob(ctx, w, r, q.ID)
		})
	registerStream(s, route("job-result", http.MethodGet, "/v1/jobs/{id}/result", "What a job found: JSON lines, or a tar archive", tagJobs),
		[]string{api.JSONLines, "application/x-tar"}, nil,
		func(ctx context.Context, by Peer, q *JobID, w http.ResponseWriter, r *http.Request) error {
			exchangeOf(ctx).image = ""
			content, j, done, err := b.JobResult(by, q.ID)
			if err != nil {
				return err
			}
			defer done()
			w.Header().Set("Content-Type", api.JSONLines)
			if j.Kind == "archive" {
				w.Header().Set("Content-Type", "application/x-tar")
			}
			http.ServeContent(w, r, "", *j.Ended, content)
			return nil
		})
}
