package s3store

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/headrace/headrace/objstore"
)

const listingDocument = `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Name>b</Name><Prefix/><KeyCount>2</KeyCount><MaxKeys>2</MaxKeys><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
  <NextContinuationToken>a&amp;b=</NextContinuationToken>
  <Contents>
    <Key>a+b%2Bc/%C3%A9%FF</Key><LastModified>2026-11-23T04:11:21.999Z</LastModified><ETag>&quot;tag&#45;1&#x22;</ETag><Size>12</Size>
    <Owner><ID>me</ID><Key>not a key</Key></Owner><StorageClass>GLACIER</StorageClass>
  </Contents>
  <Contents><Key></Key><Size>0</Size><StorageClass>STANDARD</StorageClass></Contents>
  <CommonPrefixes><Prefix>a%2F/</Prefix></CommonPrefixes>
</ListBucketResult>
`

func TestListingIsRead(t *testing.T) {
	l, err := scanListing([]byte(listingDocument))
	if err != nil {
		t.Fatal(err)
	}
	if !l.IsTruncated || l.NextContinuationToken != "a&b=" {
		t.Errorf("the listing goes on: %v at %q", l.IsTruncated, l.NextContinuationToken)
	}
	page, err := l.page()
	if err != nil {
		t.Fatal(err)
	}
	want := objstore.Page{
		Entries: []objstore.Entry{
			{
				Key: "a b+c/é\xff", Size: 12, ETag: "tag-1", StorageClass: "GLACIER",
				ModTime: time.Date(2026, 11, 23, 4, 11, 21, 0, time.UTC),
			},
			{},
		},
		Prefixes: []string{"a//"},
	}
	if !reflect.DeepEqual(page, want) {
		t.Errorf("got  %+v\nwant %+v", page, want)
	}
}

func TestListingOfUnusualXMLIsReadToo(t *testing.T) {
	for _, document := range []string{
		`<ListBucketResult><!-- c --><Contents><Key>k</Key><Size>1</Size></Contents></ListBucketResult>`,
		`<ListBucketResult><Contents><Key><![CDATA[k]]></Key><Size>1</Size></Contents></ListBucketResult>`,
		`<ListBucketResult a='>'><Contents><Key>k</Key><Size>1</Size></Contents></ListBucketResult>`,
		`<ListBucketResult a=">"><Contents><Key>k</Key><Size> 1 </Size></Contents></ListBucketResult>`,
		`<s3:ListBucketResult xmlns:s3="x"><s3:Contents><s3:Key>k</s3:Key><s3:Size>1</s3:Size></s3:Contents></s3:ListBucketResult>`,
	} {
		l, err := parseListing([]byte(document))
		if err != nil || len(l.Contents) != 1 || l.Contents[0].Key != "k" || l.Contents[0].Size != 1 {
			t.Errorf("%s: %+v, %v", document, l, err)
		}
	}
}

func TestListingCutShortIsCorrupt(t *testing.T) {
	for n := range len(listingDocument) - len("\n") {
		if _, err := parseListing([]byte(listingDocument[:n])); !errors.Is(err, objstore.ErrCorrupt) {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
	}
	l := listing{EncodingType: "url", Contents: []listedObject{{Key: "%zz"}}}
	if _, err := l.page(); !errors.Is(err, objstore.ErrCorrupt) {
		t.Errorf("a key that is not escaped: %v", err)
	}
}

// FuzzScanListing holds the scanner against encoding/xml: where both read a document, they read the same.
func FuzzScanListing(f *testing.F) {
	f.Add([]byte(listingDocument))
	f.Add([]byte(`<ListBucketResult><Contents><Key>a&#xd;&lt;</Key></Contents></ListBucketResult>`))
	f.Fuzz(func(t *testing.T, document []byte) {
		got, err := scanListing(document)
		if err != nil {
			return
		}
		var want listing
		if xml.Unmarshal(document, &want) != nil {
			return
		}
		want.XMLName = xml.Name{}
		for i := range want.Contents {
			want.Contents[i].StorageClass = storageClass(want.Contents[i].StorageClass)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q\nscanned %+v\ndecoded %+v", document, got, want)
		}
	})
}

func BenchmarkParseListing(b *testing.B) {
	var document bytes.Buffer
	document.WriteString(`<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>`)
	for i := range maxPage {
		fmt.Fprintf(&document, `<Contents><Key>some/dir/file-%06d.jpg</Key><LastModified>2026-11-23T04:11:21.000Z</LastModified>`+
			`<ETag>&quot;086f9e9a11028b36a39391a4f510f866&quot;</ETag><Size>12345</Size><StorageClass>STANDARD</StorageClass></Contents>`, i)
	}
	document.WriteString(`</ListBucketResult>`)
	b.Run("scan", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l, err := scanListing(document.Bytes())
			if err != nil {
				b.Fatal(err)
			}
			if _, err := l.page(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-xml", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var l listing
			if err := xml.Unmarshal(document.Bytes(), &l); err != nil {
				b.Fatal(err)
			}
		}
	})
}
