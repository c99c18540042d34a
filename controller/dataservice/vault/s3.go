package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// partBytes is what is sent at a time and kept in memory meanwhile; 10,000 parts, the most there can be, are 160 GB.
const partBytes = 16 << 20

// S3Options say where a bucket is and who uses it.
type S3Options struct {
	URL                  string // https://HOST/BUCKET or https://HOST/BUCKET/PREFIX
	Region               string // empty: the server is asked
	AccessKey, SecretKey string
}

// S3 is a Vault in a bucket of any S3-compatible server.
type S3 struct {
	client         *minio.Client
	bucket, prefix string
}

var _ Vault = (*S3)(nil)

// NewS3 asks nothing of the server yet. Its error says which option is wrong; it never holds the secret key.
func NewS3(o S3Options) (*S3, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("write the place of backups as https://HOST/BUCKET or https://HOST/BUCKET/PREFIX, without a name or a password")
	}
	bucket, prefix, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if bucket == "" {
		return nil, fmt.Errorf("the place of backups %s names no bucket: write https://HOST/BUCKET", u.Redacted())
	}
	if o.AccessKey == "" || o.SecretKey == "" {
		return nil, errors.New("an S3 place of backups needs an access key and a secret key")
	}
	client, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""), Secure: u.Scheme == "https", Region: o.Region})
	if err != nil {
		return nil, fmt.Errorf("place of backups: %w", err)
	}
	return &S3{client, bucket, prefix}, nil
}

func (s *S3) key(name string) (string, error) {
	if !names.MatchString(name) {
		return "", fmt.Errorf("backup %q: no such name", name)
	}
	return path.Join(s.prefix, name+suffix), nil
}

// Put implements Vault. The object is there once its last part was taken. Parts go with their MD5 and without a signature of
// their content, which has its own seal and which not all servers can check.
func (s *S3) Put(ctx context.Context, name string, r io.Reader) error {
	key, err := s.key(name)
	if err != nil {
		return err
	}
	_, err = s.client.PutObject(ctx, s.bucket, key, r, -1, minio.PutObjectOptions{PartSize: partBytes, NumThreads: 1, SendContentMd5: true, DisableContentSha256: true, ContentType: "application/octet-stream"})
	return s.wrap("put", key, err)
}

// Open implements Vault.
func (s *S3) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	key, err := s.key(name)
	if err != nil {
		return nil, err
	}
	object, err := s.client.GetObject(ctx, s.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, s.wrap("get", key, err)
	}
	if _, err := object.Stat(); err != nil { // only now the server is asked
		return nil, errors.Join(s.wrap("get", key, err), object.Close())
	}
	return object, nil
}

// Remove implements Vault.
func (s *S3) Remove(ctx context.Context, name string) error {
	key, err := s.key(name)
	if err != nil {
		return err
	}
	return s.wrap("remove", key, s.client.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{}))
}

func (s *S3) wrap(what, key string, err error) error {
	if err == nil {
		return nil
	}
	if said := minio.ToErrorResponse(err); said.Code == "NoSuchKey" || said.StatusCode == http.StatusNotFound && said.Code != "NoSuchBucket" {
		err = errors.Join(fs.ErrNotExist, err)
	}
	return fmt.Errorf("%s %s in bucket %s: %w", what, key, s.bucket, err)
}

// Moved is a Vault that keeps what is new in one place and finds what was kept in another one before.
type Moved struct{ Now, Before Vault }

var _ Vault = Moved{}

// Put implements Vault.
func (m Moved) Put(ctx context.Context, name string, r io.Reader) error {
	return m.Now.Put(ctx, name, r)
}

// Open implements Vault.
func (m Moved) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := m.Now.Open(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return m.Before.Open(ctx, name)
	}
	return r, err
}

// Remove implements Vault.
func (m Moved) Remove(ctx context.Context, name string) error {
	return errors.Join(m.Now.Remove(ctx, name), m.Before.Remove(ctx, name))
}
