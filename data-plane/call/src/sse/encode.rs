//! Writing events. Never an `id:`: clients then dispatch an empty event at every comment's blank line.

use bytes::BytesMut;
use luthien_proto::json::Fields;

/// Writes an event.
pub fn write(out: &mut BytesMut, name: Option<&str>, data: &[u8]) {
    write_name(out, name);
    for line in data.split(|byte| *byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"\n");
}

/// Writes an event whose data is JSON.
pub fn write_json(out: &mut BytesMut, name: Option<&str>, data: &Fields<'_>) {
    write_name(out, name);
    out.extend_from_slice(b"data: ");
    data.write(out).expect("memory takes what is written");
    out.extend_from_slice(b"\n\n");
}

fn write_name(out: &mut BytesMut, name: Option<&str>) {
    if let Some(name) = name {
        out.extend_from_slice(b"event: ");
        // A name is one line: what a policy or an upstream put into it can't add another.
        out.extend(name.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
        out.extend_from_slice(b"\n");
    }
}
