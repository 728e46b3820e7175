// The device program on Arduino's core for ESP32. Set the network and the token, upload, and open the console at 115200:
// it prints the address. Then, on a computer in the same network: espstress run -t ADDRESS
#include <ESPmDNS.h>
#include <WiFi.h>
#include <espstress.h>

static const char *const SSID = "my network";
static const char *const PASSWORD = "its password";
static const char *const TOKEN = "";  // what POST /control has to show; empty refuses it

void setup() {
  Serial.begin(115200);
  WiFi.mode(WIFI_STA);
  WiFi.begin(SSID, PASSWORD);
  while (WiFi.status() != WL_CONNECTED) {
    delay(500);
    Serial.println("joining");
  }
  Serial.print("address ");
  Serial.println(WiFi.localIP());

  espstress_settings settings;
  espstress_settings_default(&settings);
  settings.token = TOKEN;
  if (espstress_start(&settings) != ESPSTRESS_OPENED) {
    Serial.println("the device does not start; the reason is above");
    return;
  }
  if (MDNS.begin(settings.name)) {
    MDNS.addService("_espstress", "_tcp", settings.ports[ESPSTRESS_SERVICE_FRAMED]);
    MDNS.addServiceTxt("_espstress", "_tcp", "stack", "lwIP");
  }
}

// The device has a task of its own.
void loop() {
  delay(1000);
}
