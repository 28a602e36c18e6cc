//! Clients that ask other services.

use reqwest::{Client, ClientBuilder, NoProxy, Proxy};

/// This machine, as `NO_PROXY` would name it.
const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1";

/// A client that asks over HTTPS through the proxy of the environment: `HTTPS_PROXY`, else `ALL_PROXY`, but for hosts of
/// `NO_PROXY`. It asks this machine directly, which a proxy would not reach, and whatever it asks in clear text, so that no
/// proxy reads a token.
pub fn client_builder() -> ClientBuilder {
    let set = |names: [&str; 2]| {
        let mut values = names.into_iter().filter_map(|name| std::env::var(name).ok());
        values.find(|value| !value.is_empty())
    };
    let proxy = set(["HTTPS_PROXY", "https_proxy"]).or_else(|| set(["ALL_PROXY", "all_proxy"]));
    through(proxy.as_deref(), &set(["NO_PROXY", "no_proxy"]).unwrap_or_default())
}

fn through(proxy: Option<&str>, direct: &str) -> ClientBuilder {
    let builder = Client::builder().no_proxy();
    // A proxy that cannot be used is none, as with other programs.
    let Some(proxy) = proxy.and_then(|url| Proxy::https(url).ok()) else { return builder };
    builder.proxy(proxy.no_proxy(NoProxy::from_string(&format!("{direct},{THIS_MACHINE}"))))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{io::AsyncReadExt as _, net::TcpListener};
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;

    #[tokio::test]
    async fn a_proxy_sees_tunnels_to_other_machines_alone() {
        const TUNNEL: &[u8; 24] = b"CONNECT weir.invalid:443";
        drop(rustls::crypto::ring::default_provider().install_default());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let proxy = format!("http://{}", listener.local_addr().expect("an address"));
        let client = through(Some(&proxy), "other.invalid").timeout(Duration::from_secs(30));
        let client = client.build().expect("a client");

        let service = MockServer::start().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&service).await;
        let answer = client.get(service.uri()).bearer_auth("weir_secret").send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        // Nothing listens there, and 0.0.0.0 is none of the names above.
        for direct in ["https://localhost:1", "https://127.0.0.1:1", "https://[::1]:1", "http://0.0.0.0:1"] {
            client.get(direct).send().await.expect_err(direct);
        }

        let asked = tokio::spawn(client.get("https://weir.invalid").send());
        // Connections come in their order: there was none before.
        let (mut connection, _) = listener.accept().await.expect("a connection");
        let mut begin = [0; TUNNEL.len()];
        connection.read_exact(&mut begin).await.expect("a request");
        assert_eq!(&begin, TUNNEL);
        drop(connection);
        asked.await.expect("no panic").expect_err("the proxy has hung up");
    }
}
