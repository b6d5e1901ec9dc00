//! `mpc page`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use mpc_models::read_file;
use mpc_service::web::{Description, Place, WebKey, serve_pages};
use mpc_service::{Owner, PublicModel};

use crate::arguments::{InputArguments, NetworkLimitArgument, listen};
use crate::failure::Failure;
use crate::keys::{certificate, page_certificate};
use crate::output::print;
use crate::page::{Content, Files, Picture};
use crate::stop;

/// The largest file of labels, in bytes.
const MAX_LABELS: usize = 1 << 20;

/// Makes a page for data owners who have nothing but a browser, for a model that servers hold shares of
/// (`mpc serve --shares --web`).
///
/// Writes its files into a folder, for any web server, or serves them. The page seals each server's part to the key that is
/// named for it here, which that server prints when it starts.
#[derive(Debug, Args)]
pub struct PageArguments {
    /// The public part of a model that was packed with --outsourced.
    #[arg(value_name = "PUBLIC")]
    model: PathBuf,
    #[command(flatten)]
    network: NetworkLimitArgument,
    /// The servers as the page reaches them and the keys to seal to, in the order of their parties. One with several machines has
    /// several addresses, with commas between; https://*.DOMAIN:PORT are those that a machine may say are its own.
    #[arg(long, required = true, value_name = "https://HOST:PORT=KEY")]
    server: Vec<String>,
    /// The dealer's certificate; of a model that was packed with --no-dealer there is none.
    #[arg(long, value_name = "FILE.crt")]
    dealer: Option<PathBuf>,
    /// The owner of the model; needed where several have left one of the same plan with the servers.
    #[arg(long, value_name = "FILE.crt")]
    model_owner: Option<PathBuf>,
    /// The page's heading.
    #[arg(long, default_value = "Private inference", value_name = "TEXT")]
    title: String,
    /// A file with the name of a class on each line.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// The picture is drawn with the finger or the mouse, as ink on paper: for the bundled networks of digits.
    #[arg(long)]
    drawn: bool,
    #[command(flatten)]
    input: InputArguments,
    /// Where the files go.
    #[arg(short, long, value_name = "FOLDER", required_unless_present = "listen")]
    output: Option<PathBuf>,
    /// Serves the files here instead: over HTTPS with --web-cert, else over HTTP, for loopback or a proxy with TLS before it.
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "output")]
    listen: Option<SocketAddr>,
    /// The certificate of --listen and those that vouch for it, as an authority that browsers trust gives them (PEM; ECDSA or
    /// RSA). This and its key are read again when they are replaced.
    #[arg(long, requires_all = ["listen", "web_key"], value_name = "FILE.pem")]
    web_cert: Option<PathBuf>,
    /// The key of --web-cert (PEM, not encrypted), for its owner alone.
    #[arg(long, requires = "web_cert", value_name = "FILE.pem")]
    web_key: Option<PathBuf>,
}

/// Runs the command.
pub fn run(arguments: &PageArguments) -> Result<(), Failure> {
    let model = PublicModel::read_within(&arguments.model, &arguments.network.limits())?;
    let places = arguments.server.iter().map(|text| place(text)).collect::<Result<Vec<_>, _>>()?;
    let owner = arguments.model_owner.as_deref().map(certificate).transpose()?;
    let dealer = arguments.dealer.as_deref().map(certificate).transpose()?;
    let dealer = dealer.map(|dealer| *dealer.fingerprint().as_bytes());
    let described = Description::new(&model, places, dealer, owner.as_ref().map(Owner::from));
    let picture = picture(&model, arguments.drawn, &arguments.input)?;
    let labels = arguments.labels.as_deref().map(labels).transpose()?.unwrap_or_default();
    let title = arguments.title.clone();
    let content = Content { title, model: described.map_err(usage)?, picture, labels };
    let files = Files::new(&content);
    let hash = files.integrity();
    if let Some(folder) = &arguments.output {
        write(&files, folder)?;
        return print(&format!("{}: the page\n{hash}: its hash\n", folder.display()));
    }
    let Some(address) = arguments.listen else { return Err(Failure::Usage("--output or --listen".to_owned())) };
    let certificate = page_certificate(arguments.web_cert.as_deref(), arguments.web_key.as_deref())?;
    let (listener, address) = listen(address)?;
    let scheme = if certificate.is_some() { "https" } else { "http" };
    print(&format!("the page is at {scheme}://{address}/\n{hash}: its hash\n"))?;
    let stop = stop::requested(false)?;
    Ok(smol::block_on(serve_pages(files.files, &files.policy, (listener, certificate), stop))?)
}

fn usage(error: impl std::fmt::Display) -> Failure {
    Failure::Usage(error.to_string())
}

/// Reads a server from `URL=KEY`, where there may be several addresses.
fn place(text: &str) -> Result<Place, Failure> {
    let wrong = |reason: &str| usage(format!("--server {text}: {reason}"));
    let (urls, key) = text.rsplit_once('=').ok_or_else(|| wrong("it is URL=KEY, or URL,URL=KEY"))?;
    let urls: Vec<_> = urls.split(',').map(|url| url.trim().trim_end_matches('/').to_owned()).collect();
    if !urls.iter().all(|url| is_url(url)) {
        return Err(wrong("an address is https://HOST, with a port and a path if wanted"));
    }
    if urls.iter().all(|url| url.contains('*')) {
        return Err(wrong("of the addresses one at least has no `*`"));
    }
    let key: WebKey = key.parse().map_err(wrong)?;
    Ok(Place { urls, key })
}

/// Whether a text is the address of a machine, or of all names of a domain.
fn is_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let rest = rest.strip_prefix("*.").unwrap_or(rest);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]/_~".contains(&byte);
    !rest.is_empty() && rest.bytes().all(is_plain)
}

/// How pictures become the one input of a model.
pub fn picture(model: &PublicModel, drawn: bool, input: &InputArguments) -> Result<Picture, Failure> {
    let wrong = || usage("a page is for networks with one input, a picture of 1 or 3 channels");
    let &[node] = model.graph.inputs() else { return Err(wrong()) };
    let &[1, channels @ (1 | 3), height, width] = model.graph.node(node).shape() else { return Err(wrong()) };
    let pixels = input.pixels();
    let each = |values: &[f32], default: f32| match values {
        [] => Ok(vec![default; channels]),
        [one] => Ok(vec![*one; channels]),
        values if values.len() == channels => Ok(values.to_vec()),
        _ => Err(usage(format!("--mean and --deviation take one number, or {channels}"))),
    };
    let (mean, deviation) = (each(&pixels.mean, 0.0)?, each(&pixels.deviation, 1.0)?);
    if deviation.iter().any(|value| !value.is_finite() || *value <= 0.0) || mean.iter().any(|value| !value.is_finite())
    {
        return Err(usage("--mean takes numbers, and --deviation numbers above 0"));
    }
    Ok(Picture { channels, height, width, drawn, mean, deviation })
}

fn labels(path: &Path) -> Result<Vec<String>, Failure> {
    let bytes = read_file(path, MAX_LABELS).map_err(usage)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| usage(format!("{}: it is no text", path.display())))?;
    Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
}

fn write(files: &Files, folder: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Own(format!("{}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(failed)?;
    for (path, page) in &files.files {
        fs::write(folder.join(path.trim_start_matches('/')), &page.content).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_addresses_and_a_key() {
        let key = "5".repeat(64);
        let urls = |text: &str| place(&format!("{text}={key}")).map(|place| place.urls);
        assert_eq!(urls("https://a.example/").unwrap(), ["https://a.example"]);
        let several = "https://a.example:1, https://b.example/path/,https://*.a.example:1";
        let read = urls(several).unwrap();
        assert_eq!(read, ["https://a.example:1", "https://b.example/path", "https://*.a.example:1"]);
        for wrong in
            ["", "a.example", "https://", "https://a b", "https://*.", "https://*.a", "https://a,", "https://a,*"]
        {
            assert!(urls(wrong).is_err(), "{wrong}");
        }
        assert!(place("https://a.example=55").is_err() && place("https://a.example").is_err());
    }
}
