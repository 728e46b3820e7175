//! Reason and status codes of 802.11 by name (IEEE 802.11-2020, tables 9-49 and 9-50), the names being those of ESP-IDF's
//! `esp_wifi_types` where it has one.

/// The name of a reason for which a station or an access point ends an association.
#[must_use]
pub const fn reason_name(code: u16) -> Option<&'static str> {
    Some(match code {
        1 => "UNSPECIFIED",
        2 => "AUTH_EXPIRE",
        3 => "AUTH_LEAVE",
        4 => "DISASSOC_DUE_TO_INACTIVITY",
        5 => "ASSOC_TOOMANY",
        6 => "CLASS2_FRAME_FROM_NONAUTH_STA",
        7 => "CLASS3_FRAME_FROM_NONASSOC_STA",
        8 => "ASSOC_LEAVE",
        9 => "ASSOC_NOT_AUTHED",
        10 => "DISASSOC_PWRCAP_BAD",
        11 => "DISASSOC_SUPCHAN_BAD",
        12 => "BSS_TRANSITION_DISASSOC",
        13 => "IE_INVALID",
        14 => "MIC_FAILURE",
        15 => "4WAY_HANDSHAKE_TIMEOUT",
        16 => "GROUP_KEY_UPDATE_TIMEOUT",
        17 => "IE_IN_4WAY_DIFFERS",
        18 => "GROUP_CIPHER_INVALID",
        19 => "PAIRWISE_CIPHER_INVALID",
        20 => "AKMP_INVALID",
        21 => "UNSUPP_RSN_IE_VERSION",
        22 => "INVALID_RSN_IE_CAP",
        23 => "802_1X_AUTH_FAILED",
        24 => "CIPHER_SUITE_REJECTED",
        25 => "TDLS_PEER_UNREACHABLE",
        26 => "TDLS_UNSPECIFIED",
        27 => "SSP_REQUESTED_DISASSOC",
        28 => "NO_SSP_ROAMING_AGREEMENT",
        29 => "BAD_CIPHER_OR_AKM",
        30 => "NOT_AUTHORIZED_THIS_LOCATION",
        31 => "SERVICE_CHANGE_PRECLUDES_TS",
        32 => "UNSPECIFIED_QOS",
        33 => "NOT_ENOUGH_BANDWIDTH",
        34 => "MISSING_ACKS",
        35 => "EXCEEDED_TXOP",
        36 => "STA_LEAVING",
        37 => "END_BA",
        38 => "UNKNOWN_BA",
        39 => "TIMEOUT",
        46 => "PEER_INITIATED",
        47 => "AP_INITIATED",
        48 => "INVALID_FT_ACTION_FRAME_COUNT",
        49 => "INVALID_PMKID",
        50 => "INVALID_MDE",
        51 => "INVALID_FTE",
        67 => "TRANSMISSION_LINK_ESTABLISH_FAILED",
        _ => return None,
    })
}

/// The name that ESP-IDF gives a reason, without `WIFI_REASON_`: 802.11's, but for two older names and its own from 200 on,
/// which never reach the air.
#[must_use]
pub const fn idf_reason_name(code: u16) -> Option<&'static str> {
    Some(match code {
        6 => "NOT_AUTHED",
        7 => "NOT_ASSOCED",
        200 => "BEACON_TIMEOUT",
        201 => "NO_AP_FOUND",
        202 => "AUTH_FAIL",
        203 => "ASSOC_FAIL",
        204 => "HANDSHAKE_TIMEOUT",
        205 => "CONNECTION_FAIL",
        206 => "AP_TSF_RESET",
        207 => "ROAMING",
        208 => "ASSOC_COMEBACK_TIME_TOO_LONG",
        209 => "SA_QUERY_TIMEOUT",
        other => return reason_name(other),
    })
}

/// Whether the one who gives this reason leaves of its own accord.
#[must_use]
pub const fn is_leaving(code: u16) -> bool {
    matches!(code, 3 | 8 | 36)
}

/// The name of a status with which an authentication or association is answered; 0 is success.
#[must_use]
pub const fn status_name(code: u16) -> Option<&'static str> {
    Some(match code {
        0 => "SUCCESS",
        1 => "FAILURE",
        10 => "CAPABILITIES_MISMATCH",
        11 => "DENIED_NO_ASSOCIATION_EXISTS",
        12 => "DENIED_OTHER_REASON",
        13 => "UNSUPPORTED_AUTH_ALGORITHM",
        14 => "TRANSACTION_SEQUENCE_ERROR",
        15 => "CHALLENGE_FAILURE",
        16 => "TIMEOUT",
        17 => "DENIED_TOO_MANY_STATIONS",
        18 => "BASIC_RATES_MISMATCH",
        30 => "REFUSED_TEMPORARILY",
        31 => "ROBUST_MANAGEMENT_POLICY_VIOLATION",
        32 => "UNSPECIFIED_QOS_FAILURE",
        33 => "DENIED_INSUFFICIENT_BANDWIDTH",
        34 => "DENIED_POOR_CHANNEL_CONDITIONS",
        37 => "REQUEST_DECLINED",
        40 => "INVALID_ELEMENT",
        41 => "INVALID_GROUP_CIPHER",
        42 => "INVALID_PAIRWISE_CIPHER",
        43 => "INVALID_AKMP",
        45 => "INVALID_RSNE_CAPABILITIES",
        53 => "INVALID_PMKID",
        72 => "INVALID_RSNE",
        76 => "ANTI_CLOGGING_TOKEN_REQUIRED",
        77 => "UNSUPPORTED_FINITE_CYCLIC_GROUP",
        82 => "REJECTED_WITH_SUGGESTED_BSS_TRANSITION",
        126 => "SAE_HASH_TO_ELEMENT",
        _ => return None,
    })
}
