//! What to change in the frameworks that people use: the file and the option of each.
//!
//! `FindingEntry::change` says what has to happen; here is where that is written in a project. The names are those of
//! ESP-IDF 5's `esp_http_server.h`, arduino-esp32 3's `WebServer` and `NetworkServer`, ESP32Async's ESPAsyncWebServer and
//! AsyncTCP 3, ESP-IDF 5's `mqtt_client.h`, MicroPython's `asyncio`, `socket` and `network` on the ESP32, and PubSubClient 2.8. A framework that has
//! nothing to set for a finding has no line.

use crate::finding::FindingId;
use Framework::{ArduinoWebServer, EspAsyncWebServer, EspHttpServer, EspMqtt, MicroPython, PubSubClient};

/// A framework for servers and clients on an ESP32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framework {
    /// The server of ESP-IDF.
    EspHttpServer,
    /// `WebServer` of the Arduino core, and sketches on `NetworkServer` (`WiFiServer`).
    ArduinoWebServer,
    /// ESPAsyncWebServer on AsyncTCP.
    EspAsyncWebServer,
    /// MicroPython's ESP32 port.
    MicroPython,
    /// The MQTT client of ESP-IDF.
    EspMqtt,
    /// The MQTT client of most Arduino sketches.
    PubSubClient,
}

impl Framework {
    /// The name that its users use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EspHttpServer => "esp_http_server",
            ArduinoWebServer => "Arduino WebServer",
            EspAsyncWebServer => "ESPAsyncWebServer",
            MicroPython => "MicroPython",
            EspMqtt => "esp-mqtt",
            PubSubClient => "PubSubClient",
        }
    }
}

/// The option of Arduino's core can't be set in a sketch: its lwIP is a library that is already built.
const PREBUILT: &str = "the core's lwIP is built already: build Arduino as a component of ESP-IDF, and set the option with idf.py menuconfig";

const IN_SDKCONFIG: &str = "set the option in sdkconfig.defaults of the project, or with idf.py menuconfig";

const IN_PORT: &str = "set the option in ports/esp32/boards/sdkconfig.base, and build the firmware";

/// What to change for `finding` in each framework that has something to change.
#[must_use]
pub const fn frameworks(finding: FindingId) -> &'static [(Framework, &'static str)] {
    match finding {
        FindingId::SocketExhaustion => &[
            (
                EspHttpServer,
                "httpd_config_t: lru_purge_enable = true; max_open_sockets up to CONFIG_LWIP_MAX_SOCKETS - 3 (sdkconfig)",
            ),
            (
                ArduinoWebServer,
                "call stop() on each NetworkClient (WiFiClient) that the sketch opens or accepts",
            ),
            (EspAsyncWebServer, "call cleanupClients() of each AsyncWebSocket in loop()"),
            (
                MicroPython,
                "close in a finally block: writer.close(); await writer.wait_closed(), or conn.close()",
            ),
            (
                PubSubClient,
                "keep one NetworkClient for all connect() calls, and don't make a new one for each",
            ),
        ],
        FindingId::HalfOpenNotReclaimed => &[
            (
                EspHttpServer,
                "httpd_config_t: keep_alive_enable = true; keep_alive_idle = 5; keep_alive_interval = 5; \
                 keep_alive_count = 3. lru_purge_enable lets new clients in sooner, but alone doesn't free what vanished \
                 clients hold: lwIP keeps each closed connection until its FIN is given up, which takes minutes",
            ),
            (
                ArduinoWebServer,
                "on a NetworkServer: client.setSocketOption(SOL_SOCKET, SO_KEEPALIVE, ...), or stop() a client that has \
                 been silent for long",
            ),
            (
                EspAsyncWebServer,
                "request->client()->setKeepAlive(10000, 3) of AsyncTCP; call cleanupClients() of each AsyncWebSocket in loop()",
            ),
            (
                MicroPython,
                "its sockets have no SO_KEEPALIVE: use asyncio.wait_for(reader.readline(), 10) or conn.settimeout(10), and \
                 close on a time-out",
            ),
            (
                PubSubClient,
                "setKeepAlive(15), and call loop() all the time: it closes when no PINGRESP comes",
            ),
        ],
        FindingId::AbortiveClose => &[
            (
                EspHttpServer,
                "in the handler: call httpd_req_recv() until content_len bytes have come, and return ESP_OK; ESP_FAIL \
                 closes the socket with bytes unread",
            ),
            (
                ArduinoWebServer,
                "on a NetworkServer: while (client.available()) client.read(); then client.stop()",
            ),
            (EspAsyncWebServer, "don't call AsyncClient::abort(); close() sends a FIN"),
            (
                MicroPython,
                "read to the blank line, and the body of Content-Length bytes, before writer.close() or conn.close()",
            ),
        ],
        FindingId::AcceptOverflow => &[
            (EspHttpServer, "httpd_config_t: backlog_conn; keep handlers short, since the same task accepts"),
            (
                ArduinoWebServer,
                "call handleClient() in each loop() without delay(); server.enableDelay(false)",
            ),
            (
                EspAsyncWebServer,
                "no delay() in callbacks; -D CONFIG_ASYNC_TCP_QUEUE_SIZE=128 (build_flags in platformio.ini)",
            ),
            (
                MicroPython,
                "asyncio.start_server(..., backlog=N), or s.listen(N); accept in a task of its own",
            ),
        ],
        FindingId::BlockedApplication => &[
            (
                EspHttpServer,
                "all handlers share one task: give long ones a task with httpd_req_async_handler_begin(); \
                 httpd_config_t: recv_wait_timeout, send_wait_timeout",
            ),
            (
                ArduinoWebServer,
                "one client at a time: no delay() and no waiting in handlers or loop(); NetworkClient::setTimeout()",
            ),
            (
                EspAsyncWebServer,
                "no delay(), yield() or blocking call in a callback: all of them run in the async_tcp task",
            ),
            (MicroPython, "conn.settimeout(5); under asyncio: await asyncio.sleep(), never time.sleep()"),
            (
                PubSubClient,
                "setSocketTimeout(5): connect() blocks for up to 15 s; or connect in a task of its own",
            ),
        ],
        FindingId::DeviceRebooted => &[
            (EspHttpServer, "httpd_config_t: stack_size (4096) larger, if a handler overflows the stack"),
            (ArduinoWebServer, "SET_LOOP_TASK_STACK_SIZE(16 * 1024); print esp_reset_reason() in setup()"),
            (EspAsyncWebServer, "-D CONFIG_ASYNC_TCP_STACK_SIZE=16384 (build_flags in platformio.ini)"),
            (MicroPython, "print machine.reset_cause() in main.py"),
        ],
        FindingId::HeapLeak => &[
            (EspHttpServer, "httpd_req_t: set free_ctx for what sess_ctx points to"),
            (ArduinoWebServer, "print ESP.getFreeHeap() before and after each handler"),
            (EspAsyncWebServer, "call cleanupClients() of each AsyncWebSocket in loop()"),
            (MicroPython, "print gc.mem_free() after gc.collect(); look for lists and closures that grow"),
        ],
        FindingId::PowerSaveLatency | FindingId::DtimLong => &[
            (EspHttpServer, "esp_wifi_set_ps(WIFI_PS_NONE) after esp_wifi_start()"),
            (ArduinoWebServer, "WiFi.setSleep(false)"),
            (EspAsyncWebServer, "WiFi.setSleep(false)"),
            (MicroPython, "wlan.config(pm=wlan.PM_NONE)"),
            (PubSubClient, "WiFi.setSleep(false)"),
        ],
        FindingId::LinkOutages
        | FindingId::SlowRecovery
        | FindingId::DeviceUnreachable
        | FindingId::WifiDeauthenticated => &[
            (EspHttpServer, "call esp_wifi_connect() on WIFI_EVENT_STA_DISCONNECTED"),
            (ArduinoWebServer, "WiFi.setAutoReconnect(true)"),
            (EspAsyncWebServer, "WiFi.setAutoReconnect(true)"),
            (MicroPython, "wlan.config(reconnects=-1)"),
            (
                PubSubClient,
                "call connect() again from loop() each 5 s while connected() is false; setSocketTimeout(5)",
            ),
        ],
        FindingId::SlowsDown => &[
            (
                EspHttpServer,
                "look at what the handler keeps: sess_ctx and lists of sessions, a file that it appends to",
            ),
            (
                ArduinoWebServer,
                "String += copies all that it holds each time: send with sendContent() instead",
            ),
            (
                EspAsyncWebServer,
                "look for handlers that are added with on() at each request: all of them are asked in turn",
            ),
            (
                MicroPython,
                "gc.mem_free() after each request tells whether memory fills; bytes += copies all each time",
            ),
        ],
        FindingId::StandsStill => &[
            (
                EspHttpServer,
                "all handlers share one task: give long ones a task with httpd_req_async_handler_begin()",
            ),
            (ArduinoWebServer, "no delay() and no long job in loop(): handleClient() runs there"),
            (
                EspAsyncWebServer,
                "no delay(), yield() or file access in a callback: all of them run in the async_tcp task",
            ),
            (
                MicroPython,
                "await asyncio.sleep(), never time.sleep(); gc.collect() between requests, not within one",
            ),
        ],
        FindingId::NagleDelay => &[
            (
                EspHttpServer,
                "httpd_config_t: open_fn that calls setsockopt(sockfd, IPPROTO_TCP, TCP_NODELAY, ...): \
                 httpd_resp_send() sends head and body separately",
            ),
            (ArduinoWebServer, "server.client().setNoDelay(true) in the handler, before send()"),
            (EspAsyncWebServer, "request->client()->setNoDelay(true)"),
            (MicroPython, "build head and body as one bytes object, and write it once"),
        ],
        FindingId::HttpErrors | FindingId::HeadUnanswered => &[
            (
                EspHttpServer,
                "register the URI for HTTP_HEAD too; max_uri_handlers (8); CONFIG_HTTPD_MAX_URI_LEN and \
                 CONFIG_HTTPD_MAX_REQ_HDR_LEN (sdkconfig)",
            ),
            (ArduinoWebServer, "server.on(\"/\", HTTP_HEAD, handler)"),
            (EspAsyncWebServer, "server.on(\"/\", HTTP_GET | HTTP_HEAD, handler)"),
            (MicroPython, "look at the method: for HEAD send the head alone"),
        ],
        FindingId::MalformedResponse => &[
            (EspHttpServer, "end a chunked response with httpd_resp_send_chunk(req, NULL, 0)"),
            (ArduinoWebServer, "setContentLength(CONTENT_LENGTH_UNKNOWN) needs sendContent(\"\") at the end"),
            (EspAsyncWebServer, "beginResponse(): the filler must give as many bytes as the length says"),
            (MicroPython, "Content-Length counts bytes: len(body.encode()), not len(body)"),
        ],
        FindingId::BodyTimeout => &[
            (
                EspHttpServer,
                "call httpd_req_recv() until content_len bytes have come: it returns what one segment held",
            ),
            (ArduinoWebServer, "on a NetworkServer: client.readBytes(buffer, length)"),
            (
                EspAsyncWebServer,
                "onBody is called for each piece: go on at index, and answer when index + len == total",
            ),
            (MicroPython, "await reader.readexactly(length)"),
        ],
        FindingId::ResetsRequests | FindingId::ClosesUnserved => &[
            (
                EspHttpServer,
                "httpd_register_err_handler(), and look at what handlers return: all but ESP_OK closes the socket",
            ),
            (
                MicroPython,
                "catch exceptions in the handler, print them with sys.print_exception(), and answer 500",
            ),
        ],
        FindingId::UploadStalled => &[
            (
                EspHttpServer,
                "call httpd_req_recv() until content_len bytes have come, and answer what is too long with 413",
            ),
            (MicroPython, "await reader.readexactly(length) in pieces that fit into the heap"),
        ],
        FindingId::TlsFailed => &[(
            EspHttpServer,
            "esp_https_server: httpd_ssl_config_t.httpd.max_open_sockets says how many TLS sessions there are at once; each \
             takes some 40 KB of heap unless CONFIG_MBEDTLS_DYNAMIC_BUFFER is set (sdkconfig)",
        )],
        FindingId::Redirected => &[],
        FindingId::MakesRoom => &[(
            EspHttpServer,
            "httpd_config_t: lru_purge_enable closes the session that was used longest ago; max_open_sockets says how many \
             it keeps",
        )],
        FindingId::FinWaitTimeout | FindingId::TimewaitPortReuse => &[
            (EspHttpServer, IN_SDKCONFIG),
            (ArduinoWebServer, PREBUILT),
            (EspAsyncWebServer, PREBUILT),
            (MicroPython, IN_PORT),
        ],
        FindingId::MqttKeepaliveMissed | FindingId::MqttPingLate => &[
            (
                EspMqtt,
                "esp_mqtt_client_config_t: session.keepalive; it pings in a task of its own, which no callback may block",
            ),
            (PubSubClient, "call loop() more often than each half of setKeepAlive(); no delay() beside it"),
        ],
        FindingId::MqttOutageUnnoticed | FindingId::MqttSlowNotice | FindingId::MqttTooLongKeepalive => &[
            (EspMqtt, "esp_mqtt_client_config_t: session.keepalive = 15; network.timeout_ms = 5000"),
            (PubSubClient, "setKeepAlive(15), and call loop() all the time"),
        ],
        FindingId::MqttNoReconnect | FindingId::MqttReconnectStorm => &[
            (
                EspMqtt,
                "esp_mqtt_client_config_t: network.disable_auto_reconnect = false; network.reconnect_timeout_ms",
            ),
            (
                PubSubClient,
                "call connect() from loop() while connected() is false, and wait longer after each failure",
            ),
        ],
        FindingId::MqttNotResubscribed | FindingId::MqttAvailability => &[
            (
                EspMqtt,
                "subscribe and publish the birth message on MQTT_EVENT_CONNECTED; session.last_will.retain = true",
            ),
            (
                PubSubClient,
                "subscribe() and publish(topic, birth, true) after each connect() that returns true",
            ),
        ],
        FindingId::MqttDuplicates => &[(
            EspMqtt,
            "esp_mqtt_client_config_t: session.message_retransmit_timeout longer than the broker takes for a PUBACK",
        )],
        FindingId::MqttBigPacket => &[
            (
                EspMqtt,
                "esp_mqtt_client_config_t: buffer.size; a longer message comes in parts, with current_data_offset",
            ),
            (PubSubClient, "setBufferSize(); the default takes 256 bytes with head and topic"),
        ],
        FindingId::MqttNoPuback
        | FindingId::DeviceCrashed
        | FindingId::Brownout
        | FindingId::Watchdog
        | FindingId::WifiLost
        | FindingId::AddressChanged
        | FindingId::NoMemoryReported
        | FindingId::HeapLow
        | FindingId::LossyLink
        | FindingId::WeakSignal
        | FindingId::RetryStorm
        | FindingId::BeaconLoss
        | FindingId::NoEcho
        | FindingId::DatagramSize
        | FindingId::DatagramsLost
        | FindingId::EventStream
        | FindingId::LinesLost
        | FindingId::AnswersRepeated
        | FindingId::HostLimited
        | FindingId::CaptureIncomplete
        | FindingId::OtherProtocol
        | FindingId::PipeliningLost
        | FindingId::ClosesIdle
        | FindingId::PathMtu
        | FindingId::MqttCloseUnnoticed
        | FindingId::MqttSessionRefused
        | FindingId::MqttDupMissing
        | FindingId::MqttMessageLost
        | FindingId::MqttHasty
        | FindingId::UnexplainedFailures => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_framework_has_one_line_for_a_finding() {
        for id in FindingId::ALL {
            let names: HashSet<&str> = frameworks(id).iter().map(|(framework, _)| framework.name()).collect();
            assert_eq!(names.len(), frameworks(id).len(), "{}", id.name());
        }
    }
}
