package objects

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	testBucket = "d0123456789abcdef"
	testKey    = "b0123456789abcdef"
	testSecret = "SecretOfTheBinding23456789"
)

// bench is a store that is served, and clients of it.
type bench struct {
	store   *Store
	handler *Handler
	server  *httptest.Server
	client  *minio.Client
	config  Config
}

// serveStore serves a new store with a limit, over TLS or, so that clients sign their content in chunks, without.
func serveStore(t *testing.T, limitMB int, tls bool) *bench {
	t.Helper()
	store, err := OpenStore(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{store: store, config: Config{Bucket: testBucket, Region: "us-east-1", LimitMB: limitMB, Keys: []Key{{testKey, testSecret}}}}
	b.handler = NewHandler(store, &b.config, slog.New(slog.NewTextHandler(t.Output(), nil)))
	b.server = httptest.NewUnstartedServer(b.handler)
	if tls {
		b.server.StartTLS()
	} else {
		b.server.Start()
	}
	t.Cleanup(func() {
		b.server.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	b.client = b.clientWith(t, testKey, testSecret)
	return b
}

func (b *bench) clientWith(t *testing.T, key, secret string) *minio.Client {
	t.Helper()
	_, host, _ := strings.Cut(b.server.URL, "://")
	c, err := minio.New(host, &minio.Options{
		Creds: credentials.NewStaticV4(key, secret, ""), Secure: strings.HasPrefix(b.server.URL, "https"), Region: "us-east-1",
		Transport: b.server.Client().Transport, BucketLookup: minio.BucketLookupPath, TrailingHeaders: true, MaxRetries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (b *bench) put(t *testing.T, key string, content []byte) {
	t.Helper()
	if _, err := b.client.PutObject(t.Context(), testBucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

func (b *bench) get(t *testing.T, key string) []byte {
	t.Helper()
	o, err := b.client.GetObject(t.Context(), testBucket, key, minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	text, err := io.ReadAll(o)
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	return text
}

func (b *bench) keys(t *testing.T, prefix string, deep bool) []string {
	t.Helper()
	var all []string
	for o := range b.client.ListObjects(t.Context(), testBucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: deep, MaxKeys: 3}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		all = append(all, o.Key)
	}
	return all
}

// check compares what is counted with what is on the disk, and the files with those that the index names.
func (b *bench) check(t *testing.T) {
	t.Helper()
	u, err := b.store.Usage(true)
	if err != nil {
		t.Fatal(err)
	}
	var files int
	var size int64
	err = filepath.WalkDir(filepath.Join(b.store.dir, blobsDir), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			st, err := d.Info()
			if err != nil {
				return err
			}
			files++
			size += blocks(st.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := size + int64(u.Objects)*recordCost; u.Used != want {
		t.Errorf("%d bytes are counted as used, of %d objects in %d files it is %d", u.Used, u.Objects, files, want)
	}
	if b.store.pending != 0 || len(b.store.doomed) != 0 {
		t.Errorf("%d bytes are reserved and %v wait to be removed while nothing goes on", b.store.pending, b.store.doomed)
	}
}

func code(err error) string { return minio.ToErrorResponse(err).Code }

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// TestClient does with an ordinary client what apps do, in one piece and in parts, over TLS and without.
func TestClient(t *testing.T) {
	for _, tls := range []bool{true, false} {
		t.Run(fmt.Sprint("tls ", tls), func(t *testing.T) {
			b := serveStore(t, 200, tls)
			if ok, err := b.client.BucketExists(t.Context(), testBucket); err != nil || !ok {
				t.Fatalf("the bucket exists: %v, %v", ok, err)
			}
			contents := map[string][]byte{"a": []byte("first"), "b/empty": {}, "b/ö +%&=?#/x y.txt": []byte("strange"), "b/c/large": random(17 << 20)}
			for key, content := range contents {
				b.put(t, key, content)
			}
			for key, content := range contents {
				if got := b.get(t, key); !bytes.Equal(got, content) {
					t.Errorf("%q has %d bytes, want the %d that were put", key, len(got), len(content))
				}
			}
			b.put(t, "a", []byte("second"))
			if got := b.get(t, "a"); string(got) != "second" {
				t.Errorf("a = %q after it was put again", got)
			}
			if got, want := b.keys(t, "", false), []string{"a", "b/"}; !slices.Equal(got, want) {
				t.Errorf("keys of the first level = %q, want %q", got, want)
			}
			b.check(t)
			for key := range contents {
				if err := b.client.RemoveObject(t.Context(), testBucket, key, minio.RemoveObjectOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			if got := b.keys(t, "", true); len(got) != 0 {
				t.Errorf("keys after all were removed = %q", got)
			}
			b.check(t)
		})
	}
}

func TestHeadersRangeAndCopy(t *testing.T) {
	b := serveStore(t, 100, true)
	content := random(100_000)
	_, err := b.client.PutObject(t.Context(), testBucket, "x", bytes.NewReader(content), int64(len(content)),
		minio.PutObjectOptions{ContentType: "text/plain", UserMetadata: map[string]string{"Owner": "someone"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.client.CopyObject(t.Context(), minio.CopyDestOptions{Bucket: testBucket, Object: "dir/copy of x"}, minio.CopySrcOptions{Bucket: testBucket, Object: "x"})
	if err != nil {
		t.Fatal(err)
	}
	st, err := b.client.StatObject(t.Context(), testBucket, "dir/copy of x", minio.StatObjectOptions{})
	if err != nil || st.ContentType != "text/plain" || st.UserMetadata["Owner"] != "someone" || st.Size != int64(len(content)) {
		t.Errorf("stat of the copy = %+v, %v", st, err)
	}
	var o minio.GetObjectOptions
	if err := o.SetRange(10, 19); err != nil {
		t.Fatal(err)
	}
	r, err := b.client.GetObject(t.Context(), testBucket, "dir/copy of x", o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content[10:20]) {
		t.Errorf("bytes 10 to 19 = %x, %v, want %x", got, err, content[10:20])
	}
	only := minio.PutObjectOptions{}
	only.SetMatchETagExcept("*")
	if _, err := b.client.PutObject(t.Context(), testBucket, "x", strings.NewReader("y"), 1, only); code(err) != "PreconditionFailed" {
		t.Errorf("put of what may not be there: %v", err)
	}
	b.check(t)
}

func TestList(t *testing.T) {
	b := serveStore(t, 100, true)
	want := []string{"a", "b/1", "b/2", "b/c/3", "b/c/4", "d/5", "e"}
	for _, key := range want {
		b.put(t, key, []byte(key))
	}
	if got := b.keys(t, "", true); !slices.Equal(got, want) {
		t.Errorf("all keys in pages of 3 = %q, want %q", got, want)
	}
	if got, want := b.keys(t, "b/", false), []string{"b/1", "b/2", "b/c/"}; !slices.Equal(got, want) {
		t.Errorf("below b/ = %q, want %q", got, want)
	}
	core := minio.Core{Client: b.client}
	page, err := core.ListObjects(testBucket, "", "", "/", 2)
	if err != nil || len(page.Contents) != 1 || len(page.CommonPrefixes) != 1 || page.NextMarker != "b/" || !page.IsTruncated {
		t.Fatalf("first page of version 1 = %+v, %v", page, err)
	}
	page, err = core.ListObjects(testBucket, "", page.NextMarker, "/", 5)
	if err != nil || len(page.Contents) != 1 || page.Contents[0].Key != "e" || page.CommonPrefixes[0].Prefix != "d/" || page.IsTruncated {
		t.Errorf("second page of version 1 = %+v, %v", page, err)
	}
	gone := make(chan minio.ObjectInfo, len(want))
	for _, key := range want[1:] {
		gone <- minio.ObjectInfo{Key: key}
	}
	close(gone)
	for e := range b.client.RemoveObjects(t.Context(), testBucket, gone, minio.RemoveObjectsOptions{}) {
		t.Error(e)
	}
	if got := b.keys(t, "", true); !slices.Equal(got, want[:1]) {
		t.Errorf("keys after removing some = %q", got)
	}
	b.check(t)
}

// TestFull: at the limit new content is refused, what is there stays, and there is room again after deleting.
func TestFull(t *testing.T) {
	b := serveStore(t, 20, true)
	b.put(t, "first", random(12<<20))
	if _, err := b.client.PutObject(t.Context(), testBucket, "second", bytes.NewReader(random(12<<20)), 12<<20, minio.PutObjectOptions{}); code(err) != "QuotaExceeded" {
		t.Fatalf("put beyond the limit: %v, want QuotaExceeded", err)
	}
	core := minio.Core{Client: b.client}
	id, err := core.NewMultipartUpload(t.Context(), testBucket, "third", minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := core.PutObjectPart(t.Context(), testBucket, "third", id, 1, bytes.NewReader(random(6<<20)), 6<<20, minio.PutObjectPartOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := core.PutObjectPart(t.Context(), testBucket, "third", id, 2, bytes.NewReader(random(6<<20)), 6<<20, minio.PutObjectPartOptions{}); code(err) != "QuotaExceeded" {
		t.Fatalf("part beyond the limit: %v, want QuotaExceeded", err)
	}
	if err := core.AbortMultipartUpload(t.Context(), testBucket, "third", id); err != nil {
		t.Fatal(err)
	}
	b.check(t)
	if err := b.client.RemoveObject(t.Context(), testBucket, "first", minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	b.put(t, "second", random(12<<20))
	b.check(t)
}

// TestWho: nothing without the key of a binding, or with one that was taken away.
func TestWho(t *testing.T) {
	b := serveStore(t, 20, true)
	b.put(t, "x", []byte("secret"))
	link, err := b.client.PresignedGetObject(t.Context(), testBucket, "x", time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(address string, header map[string]string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range header {
			r.Header.Set(k, v)
		}
		a, err := b.server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		text, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		return a.StatusCode, string(text)
	}
	if status, text := fetch(link.String(), nil); status != http.StatusOK || text != "secret" {
		t.Errorf("presigned: %d %q", status, text)
	}
	if status, text := fetch(link.String(), map[string]string{"X-Amz-Copy-Source": testBucket + "/x"}); status == http.StatusOK {
		t.Errorf("presigned with a header that is not signed: %d %q", status, text)
	}
	if status, text := fetch(strings.Replace(link.String(), "/x?", "/y?", 1), nil); status != http.StatusForbidden || !strings.Contains(text, "SignatureDoesNotMatch") {
		t.Errorf("presigned for another object: %d %q", status, text)
	}
	if status, text := fetch(b.server.URL+"/"+testBucket+"/x", nil); status != http.StatusForbidden || strings.Contains(text, "secret") {
		t.Errorf("not signed: %d %q", status, text)
	}
	for name, c := range map[string]*minio.Client{"InvalidAccessKeyId": b.clientWith(t, "b0000000000000000", testSecret), "SignatureDoesNotMatch": b.clientWith(t, testKey, testSecret+"x")} {
		if _, err := c.PutObject(t.Context(), testBucket, "x", strings.NewReader("y"), 1, minio.PutObjectOptions{}); code(err) != name {
			t.Errorf("%v, want %s", err, name)
		}
	}
	if _, err := b.client.ListBuckets(t.Context()); err != nil {
		t.Error(err)
	}
	if err := b.client.MakeBucket(t.Context(), "another", minio.MakeBucketOptions{}); code(err) != "AccessDenied" {
		t.Errorf("another bucket: %v", err)
	}
	b.handler.Configure(&Config{Bucket: testBucket, Region: "us-east-1"})
	if status, _ := fetch(link.String(), nil); status != http.StatusForbidden {
		t.Errorf("presigned by a key that was taken away: %d", status)
	}
}

// TestBackup: what a backup has comes back in another store, in place of what is there; one that is cut off changes nothing.
func TestBackup(t *testing.T) {
	from, to := serveStore(t, 100, true), serveStore(t, 100, true)
	contents := map[string][]byte{"a": []byte("one"), "b/ö": random(7 << 20), "empty": {}}
	for key, content := range contents {
		from.put(t, key, content)
	}
	var backup bytes.Buffer
	if err := from.store.Backup(&backup); err != nil {
		t.Fatal(err)
	}
	to.put(t, "before", []byte("x"))
	if err := to.store.Restore(bytes.NewReader(backup.Bytes()[:backup.Len()/2])); err == nil {
		t.Fatal("half a backup was restored")
	}
	if got := to.keys(t, "", true); !slices.Equal(got, []string{"before"}) {
		t.Fatalf("keys after half a backup = %q", got)
	}
	to.check(t)
	if err := to.store.Restore(&backup); err != nil {
		t.Fatal(err)
	}
	if got, want := to.keys(t, "", true), []string{"a", "b/ö", "empty"}; !slices.Equal(got, want) {
		t.Fatalf("keys after the restore = %q, want %q", got, want)
	}
	for key, content := range contents {
		if !bytes.Equal(to.get(t, key), content) {
			t.Errorf("%q is another after the restore", key)
		}
	}
	to.check(t)
}

// TestRestart: everything is there when the folder is opened again, and what a crash left of content goes.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenStore(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	put := func(key, text string) {
		t.Helper()
		err := s.write(strings.NewReader(text), int64(len(text)), func(b Blob) error {
			return s.put(key, &Object{Size: b.Size, Blobs: []Blob{b}}, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put("x", "kept")
	orphan := s.blobPath(newID())
	if err := os.WriteFile(orphan, []byte("left"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(orphan, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = OpenStore(dir, 0); err != nil {
		t.Fatal(err)
	}
	s.sweep.Wait()
	o, err := s.get("x")
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.open(o)
	if err != nil {
		t.Fatal(err)
	}
	put("x", "newer") // the reader goes on with what it opened
	if text, err := io.ReadAll(c); err != nil || string(text) != "kept" {
		t.Errorf("x = %q, %v", text, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(orphan); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("content that nothing names is still there: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestServe starts the whole server and asks it through its socket.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	cert, key := selfSigned(t)
	o := Options{Dir: filepath.Join(dir, "data"), ConfigFile: filepath.Join(dir, "c.json"), CertFile: filepath.Join(dir, "c.crt"), KeyFile: filepath.Join(dir, "c.key"),
		Listen: "127.0.0.1:0", Socket: filepath.Join(dir, "s"), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for name, text := range map[string][]byte{o.ConfigFile: []byte(`{"bucket": "b", "region": "r", "limit_mb": 7, "connections": 3}`), o.CertFile: cert, o.KeyFile: key} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	reload := make(chan os.Signal)
	o.Reload = reload
	go func() { ended <- Serve(ctx, o) }()
	reload <- os.Interrupt // taken once it serves
	var out bytes.Buffer
	if err := Ask(t.Context(), o.Socket, http.MethodGet, "/usage?all", nil, &out); err != nil || !strings.Contains(out.String(), `"limit_bytes":7340032`) {
		t.Errorf("usage = %s, %v", out.Bytes(), err)
	}
	if err := Ask(t.Context(), o.Socket, http.MethodPost, "/restore", strings.NewReader("no backup, but of some length"), io.Discard); err == nil {
		t.Error("what is no backup was restored")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
