//! Asks our own device program for something through its control service.

use espstress_connection::http::{Expects, Progress, Response};
use espstress_connection::{Connector, Refused};
use espstress_event::{Failure, Intent};

/// Posts a JSON object to `/control`, and tells the status code of the answer. `connector` leads to the device's HTTP
/// service.
pub(crate) async fn ask(
    connector: &Connector,
    token: &str,
    body: &str,
    intent: Intent,
) -> Result<u16, Failure> {
    let limits = connector.timeouts;
    let mut connection = match connector.open(intent).await {
        Ok(connection) => connection,
        Err(Refused::Failure(failure)) => return Err(failure),
        Err(Refused::PortsUntil(_)) => return Err(Failure::HostOutOfPorts),
    };
    let request = format!(
        "POST /control HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        connector.target,
        body.len()
    );
    connection.write_all(request.as_bytes(), limits.write).await?;
    let mut response = Response::new(Expects::Body);
    response.start();
    let mut buffer = [0; 1_024];
    loop {
        let n = connection.read(&mut buffer, limits.read).await?;
        if n == 0 {
            response.eof()?;
            break;
        }
        if let Progress::Done { .. } = response.feed(buffer.get(..n).unwrap_or_default())? {
            break;
        }
    }
    Ok(response.status())
}
