package capi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
)

// matchChunk is how many files are asked about in one request.
const matchChunk = 5000

// ApplyManifest makes the apps of a space as a manifest (YAML) says and waits until that is done.
func (c *Client) ApplyManifest(ctx context.Context, spaceGUID string, manifest []byte) error {
	return c.sendJob(ctx, yamlCall(c.api+"/v3/spaces/"+spaceGUID+"/actions/apply_manifest", manifest), nil)
}

// DiffManifest says what ApplyManifest would change.
func (c *Client) DiffManifest(ctx context.Context, spaceGUID string, manifest []byte) (*ManifestDiff, error) {
	var diff ManifestDiff
	return &diff, c.send(ctx, yamlCall(c.api+"/v3/spaces/"+spaceGUID+"/manifest_diff", manifest), &diff)
}

func yamlCall(url string, manifest []byte) call {
	return call{method: http.MethodPost, url: url, contentType: "application/x-yaml",
		body: func() io.Reader { return bytes.NewReader(manifest) }}
}

// MatchResources is the subset of files that the server has already.
func (c *Client) MatchResources(ctx context.Context, files []ResourceMatch) ([]ResourceMatch, error) {
	var matched []ResourceMatch
	for len(files) > 0 {
		chunk := files[:min(len(files), matchChunk)]
		files = files[len(chunk):]
		var answer ResourceMatches
		if err := c.change(ctx, http.MethodPost, "/v3/resource_matches", ResourceMatches{Resources: chunk}, &answer); err != nil {
			return nil, err
		}
		matched = append(matched, answer.Resources...)
	}
	return matched, nil
}

// Packages lists packages; filters are app_guids, states, types, space_guids.
func (c *Client) Packages(ctx context.Context, f Filter) ([]Package, error) {
	return All[Package](ctx, c, "/v3/packages", f)
}

// NewestPackage is the newest READY package of an app.
func (c *Client) NewestPackage(ctx context.Context, appGUID string) (*Package, error) {
	f := Filter{"app_guids": {appGUID}, "states": {"READY"}, "order_by": {"-created_at"}}
	return first[Package](ctx, c, "/v3/packages", f, "The app has no package: push it first.")
}

// CreatePackage makes a package: for bits an empty one, for Docker an image reference.
func (c *Client) CreatePackage(ctx context.Context, in PackageCreate) (*Package, error) {
	var p Package
	return &p, c.change(ctx, http.MethodPost, "/v3/packages", in, &p)
}

// CopyPackage makes a package of another app from a package, and waits until it is there.
func (c *Client) CopyPackage(ctx context.Context, guid, appGUID string) (*Package, error) {
	p := new(Package)
	in := PackageCreate{Relationships: PackageCreateRelationships{App: To(appGUID)}}
	if err := c.change(ctx, http.MethodPost, "/v3/packages?source_guid="+url.QueryEscape(guid), in, p); err != nil {
		return nil, err
	}
	return c.waitPackage(ctx, p)
}

// Upload is what UploadPackage sends.
type Upload struct {
	Resources []ResourceMatch // files that the server has and that are part of the package
	Bits      io.Reader       // a zip of the others; nil: there are none
	Size      int64           // of Bits in bytes; must be right
	Progress  func(n int64)   // called with the bytes of Bits sent so far; may be nil

	name string // of the file; empty: package.zip
}

// UploadPackage sends the bits of a package and waits until the server has taken them in.
func (c *Client) UploadPackage(ctx context.Context, guid string, u Upload) (*Package, error) {
	head, tail, contentType, err := u.frame()
	if err != nil {
		return nil, err
	}
	body := io.Reader(bytes.NewReader(append(bytes.Clone(head), tail...)))
	length := int64(len(head) + len(tail))
	if u.Bits != nil {
		body = io.MultiReader(bytes.NewReader(head), &progressReader{r: u.Bits, tell: u.Progress}, bytes.NewReader(tail))
		length += u.Size
	}
	p := new(Package)
	err = c.send(ctx, call{method: http.MethodPost, url: c.api + "/v3/packages/" + guid + "/upload", contentType: contentType,
		length: length, once: true, body: func() io.Reader { return body }}, p)
	if err != nil {
		return nil, err
	}
	return c.waitPackage(ctx, p)
}

func (c *Client) waitPackage(ctx context.Context, p *Package) (*Package, error) {
	err := poll(ctx, func() (bool, error) {
		switch p.State {
		case "READY":
			return true, nil
		case "FAILED", "EXPIRED":
			detail := "the server could not use the uploaded files"
			if p.Data.Error != nil {
				detail = *p.Data.Error
			}
			return false, AppPackageInvalid.Errorf("%s", detail)
		}
		next := new(Package)
		err := c.get(ctx, "/v3/packages/"+p.GUID, next)
		p = next
		return false, err
	})
	return p, err
}

// UploadFile sends a file as the part bits of a form to a path such as /v3/droplets/:guid/upload, and waits until the
// server has taken it in. size is its bytes; progress, which may be nil, is called with those sent so far.
func (c *Client) UploadFile(ctx context.Context, path, name string, file io.Reader, size int64, progress func(int64)) error {
	up := Upload{Bits: file, Size: size, name: name}
	head, tail, contentType, err := up.frame()
	if err != nil {
		return err
	}
	body := io.MultiReader(bytes.NewReader(head), &progressReader{r: file, tell: progress}, bytes.NewReader(tail))
	return c.sendJob(ctx, call{method: http.MethodPost, url: c.api + path, contentType: contentType, length: int64(len(head)+len(tail)) + size,
		once: true, body: func() io.Reader { return body }}, nil)
}

// frame is what stands before and after the bits in the multipart body. The resources come first.
func (u Upload) frame() (head, tail []byte, contentType string, err error) {
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	if len(u.Resources) > 0 {
		field, err := w.CreateFormField("resources")
		if err != nil {
			return nil, nil, "", err
		}
		if err := json.NewEncoder(field).Encode(u.Resources); err != nil {
			return nil, nil, "", err
		}
	}
	if u.Bits != nil {
		if _, err := w.CreateFormFile("bits", cmp.Or(u.name, "package.zip")); err != nil {
			return nil, nil, "", err
		}
	}
	head = bytes.Clone(buf.Bytes())
	if err := w.Close(); err != nil {
		return nil, nil, "", err
	}
	return head, buf.Bytes()[len(head):], w.FormDataContentType(), nil
}

// progressReader tells how far a reader was read.
type progressReader struct {
	r    io.Reader
	n    int64
	tell func(int64)
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	if n > 0 && p.tell != nil {
		p.tell(p.n)
	}
	return n, err
}
