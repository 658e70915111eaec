//! Errors as HTTP tells them, in and out.

use bytes::Bytes;
use expect_test::{Expect, expect};
use luthien_call::dialect::{decode_error, error_body};
use luthien_proto::{event::CallError, request::Dialect};

use crate::show;

fn check(dialect: Dialect, status: u16, body: &'static [u8], expect: Expect) {
    expect.assert_eq(&show::step(&decode_error(dialect, status, &Bytes::from_static(body))));
}

#[test]
fn bodies_of_any_kind() {
    check(
        Dialect::OpenAiChat,
        429,
        br#"{"error":{"message":"Slow","type":"requests","param":null,"code":"rate_limit_exceeded","more":1},"x":2}"#,
        expect![[
            r#"Failed CallError { status: 429, type_: "requests", message: "Slow", code: "rate_limit_exceeded", param: "" }  {"error":{"more":1},"x":2}"#
        ]],
    );
    check(
        Dialect::AnthropicMessages,
        529,
        br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}"#,
        expect![[
            r#"Failed CallError { status: 529, type_: "overloaded_error", message: "Overloaded", code: "", param: "" }  {"request_id":"r"}"#
        ]],
    );
    check(
        Dialect::AnthropicMessages,
        502,
        b"<html>Bad \xff Gateway</html>",
        expect![[
            r#"Failed CallError { status: 502, type_: "", message: "<html>Bad � Gateway</html>", code: "", param: "" }"#
        ]],
    );
    check(
        Dialect::OpenAiChat,
        422,
        br#"{"detail":[{"msg":"bad"}]}"#,
        expect![[
            r#"Failed CallError { status: 422, type_: "", message: "{\"detail\":[{\"msg\":\"bad\"}]}", code: "", param: "" }"#
        ]],
    );
    check(
        Dialect::OpenAiChat,
        400,
        br#"{"error":"plain","error":"twice"}"#,
        expect![[
            r#"Failed CallError { status: 400, type_: "", message: "{\"error\":\"plain\",\"error\":\"twice\"}", code: "", param: "" }"#
        ]],
    );
    check(
        Dialect::OpenAiChat,
        400,
        br#"{"error":"plain"}"#,
        expect![[r#"Failed CallError { status: 400, type_: "", message: "plain", code: "", param: "" }"#]],
    );
    check(
        Dialect::OpenAiChat,
        500,
        b"",
        expect![[r#"Failed CallError { status: 500, type_: "", message: "", code: "", param: "" }"#]],
    );
}

#[test]
fn every_dialect_tells_an_error_its_own_way() {
    let mut out = String::new();
    for status in [401, 404, 501, 503] {
        for dialect in Dialect::ALL {
            let error = CallError { status, message: "no".to_owned(), ..CallError::default() };
            out.push_str(&format!(
                "{status} {} {}\n",
                dialect.name(),
                String::from_utf8_lossy(&error_body(dialect, &error))
            ));
        }
    }
    expect![[r#"
        401 openai-chat {"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}
        401 anthropic-messages {"type":"error","error":{"type":"authentication_error","message":"no"}}
        401 openai-responses {"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}
        401 gemini {"error":{"code":401,"message":"no","status":"UNAUTHENTICATED"}}
        404 openai-chat {"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}
        404 anthropic-messages {"type":"error","error":{"type":"not_found_error","message":"no"}}
        404 openai-responses {"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}
        404 gemini {"error":{"code":404,"message":"no","status":"NOT_FOUND"}}
        501 openai-chat {"error":{"message":"no","type":"server_error","param":null,"code":null}}
        501 anthropic-messages {"type":"error","error":{"type":"api_error","message":"no"}}
        501 openai-responses {"error":{"message":"no","type":"server_error","param":null,"code":null}}
        501 gemini {"error":{"code":501,"message":"no","status":"UNIMPLEMENTED"}}
        503 openai-chat {"error":{"message":"no","type":"server_error","param":null,"code":null}}
        503 anthropic-messages {"type":"error","error":{"type":"overloaded_error","message":"no"}}
        503 openai-responses {"error":{"message":"no","type":"server_error","param":null,"code":null}}
        503 gemini {"error":{"code":503,"message":"no","status":"UNAVAILABLE"}}
    "#]]
    .assert_eq(&out);
}
