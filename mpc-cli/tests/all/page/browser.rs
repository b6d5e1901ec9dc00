//! Debian's Chromium, driven over WebDriver.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::requests::send;
use crate::support::HANGS;

/// A key of WebDriver's.
pub const RIGHT: char = '\u{e014}';
pub const DOWN: char = '\u{e015}';
pub const UP: char = '\u{e013}';
pub const ENTER: char = '\u{e007}';

/// A browser with one window; ended when dropped.
pub struct Browser {
    driver: Child,
    at: SocketAddr,
    session: String,
}

impl Browser {
    /// The browser, or why there is none.
    pub fn start() -> Result<Self, String> {
        Self::trusting(None)
    }

    /// A browser that trusts a certificate for the key with that hash, or why there is none.
    pub fn trusting(hash: Option<&str>) -> Result<Self, String> {
        let missing = "chromium and its driver are not installed: `apt-get install chromium chromium-driver`";
        let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = driver.map_err(|_| missing.to_owned())?;
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let at = SocketAddr::from(([127, 0, 0, 1], port.ok_or("chromedriver says no port")?));
        let mut browser = Self { driver, at, session: String::new() };
        let arguments =
            ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-gpu", "--disable-dev-shm-usage"];
        let trusted = hash.map(|hash| format!("--ignore-certificate-errors-spki-list={hash}"));
        let arguments: Vec<_> = arguments.into_iter().chain(trusted.as_deref()).collect();
        let options = json!({ "args": arguments });
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let session = browser.call("POST", "/session", &wanted)?;
        browser.session = format!("/session/{}", session["sessionId"].as_str().ok_or("no session")?);
        Ok(browser)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.at,
            body.len()
        );
        let answer = send(&self.at.into(), &head, &body);
        let mut answer: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        let value = answer["value"].take();
        if value["error"].is_string() { Err(format!("{}: {}", value["error"], value["message"])) } else { Ok(value) }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("{}{path}", self.session);
        self.call(method, &path, body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn open(&self, link: &str) {
        // Two links that differ behind `#` alone are one page.
        self.ask("POST", "/url", &json!({ "url": "about:blank" }));
        self.ask("POST", "/url", &json!({ "url": link }));
    }

    pub fn run(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a script gives something true.
    pub fn until(&self, script: &str) -> Value {
        let began = Instant::now();
        loop {
            let value = self.run(script);
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return value;
            }
            assert!(began.elapsed() < HANGS, "never true: {script}; the page says: {}", self.run(ALL_TEXT));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn element(&self, selector: &str) -> Value {
        self.ask("POST", "/element", &json!({ "using": "css selector", "value": selector }))
    }

    pub fn click(&self, selector: &str) {
        let id = id(&self.element(selector));
        self.ask("POST", &format!("/element/{id}/click"), &json!({}));
    }

    /// Types into an element; a field of files takes their paths.
    pub fn send_keys(&self, selector: &str, text: &str) {
        let id = id(&self.element(selector));
        self.ask("POST", &format!("/element/{id}/value"), &json!({ "text": text }));
    }

    /// Presses keys, wherever the focus is.
    pub fn press(&self, keys: &[char]) {
        let pressed =
            keys.iter().flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key })));
        let actions = json!([{ "type": "key", "id": "keys", "actions": pressed.collect::<Vec<_>>() }]);
        self.ask("POST", "/actions", &json!({ "actions": actions }));
    }

    /// Draws a line through points, each in pixels from the centre of an element.
    pub fn draw(&self, selector: &str, points: &[(i32, i32)]) {
        let origin = self.element(selector);
        let to =
            |&(x, y): &(i32, i32)| json!({ "type": "pointerMove", "duration": 30, "origin": origin, "x": x, "y": y });
        let mut actions = vec![to(&points[0]), json!({ "type": "pointerDown", "button": 0 })];
        actions.extend(points[1..].iter().map(to));
        actions.push(json!({ "type": "pointerUp", "button": 0 }));
        let pointer =
            json!({ "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": actions });
        self.ask("POST", "/actions", &json!({ "actions": [pointer] }));
    }

    /// A window of that size, light or dark.
    pub fn window(&self, width: u32, height: u32, scheme: &str) {
        let phone = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        let command = |name: &str, params: Value| json!({ "cmd": name, "params": params });
        self.ask("POST", "/goog/cdp/execute", &command("Emulation.setDeviceMetricsOverride", phone));
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.ask("POST", "/goog/cdp/execute", &command("Emulation.setEmulatedMedia", features));
    }

    /// The window as a PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        let picture = self.ask("GET", "/screenshot", &Value::Null);
        Base64::decode_vec(picture.as_str().unwrap()).unwrap()
    }
}

const ALL_TEXT: &str = "return document.body.innerText";

fn id(element: &Value) -> String {
    element.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned()
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.call("DELETE", &self.session, &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
