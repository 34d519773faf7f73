//! Bodies as recording clients of several makers send them, written after what is seen of each: two parties,
//! `caller@` and `callee@`, and what the maker does otherwise than RFC 7865 and RFC 7866.

/// SDP of two lines with these labels.
pub(crate) fn sdp(labels: [&str; 2]) -> String {
    format!(
        "v=0\r\no=src 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\na=label:{}\r\n\
         m=audio 4002 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\na=label:{}\r\n",
        labels[0], labels[1]
    )
}

/// By the letter of RFC 7865; also what Cisco sends.
pub(crate) const STRICT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1">
<datamode>complete</datamode>
<group group_id="Z3JvdXA="><associate-time>2026-11-26T10:00:00Z</associate-time></group>
<session session_id="c2Vzc2lvbg=="><sipSessionID>ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2</sipSessionID>
<group-ref>Z3JvdXA=</group-ref><start-time>2026-11-26T10:00:00Z</start-time></session>
<participant participant_id="Y2FsbGVy"><nameID aor="sip:caller@a.example"><name xml:lang="en">Ann</name></nameID></participant>
<participantsessionassoc participant_id="Y2FsbGVy" session_id="c2Vzc2lvbg=="><associate-time>2026-11-26T10:00:00Z</associate-time></participantsessionassoc>
<stream stream_id="c3RyZWFtMQ==" session_id="c2Vzc2lvbg=="><label>1</label></stream>
<participant participant_id="Y2FsbGVl"><nameID aor="sip:callee@b.example"/></participant>
<stream stream_id="c3RyZWFtMg==" session_id="c2Vzc2lvbg=="><label>2</label></stream>
<participantstreamassoc participant_id="Y2FsbGVy"><send>c3RyZWFtMQ==</send><recv>c3RyZWFtMg==</recv></participantstreamassoc>
<participantstreamassoc participant_id="Y2FsbGVl"><send>c3RyZWFtMg==</send><recv>c3RyZWFtMQ==</recv></participantstreamassoc>
</recording>"#;

/// Acme and Avaya: `id`, `<send>` within the participant, the caller by a word of theirs, here the second one.
pub(crate) const ACME: &str = r#"<recording xmlns='urn:ietf:params:xml:ns:recording'><datamode>complete</datamode>
<session id="c2Vzc2lvbg=="><associate-time>2026-11-26T10:00:00</associate-time>
<extensiondata xmlns:apkt="http://acmepacket.com/siprec/extensiondata"><apkt:ucid>00FA08;encoding=hex</apkt:ucid></extensiondata></session>
<participant id="ZWU=" session="c2Vzc2lvbg=="><nameID aor="sip:callee@b.example"><name>callee</name></nameID><send>czI=</send>
<associate-time>2026-11-26T10:00:00</associate-time>
<extensiondata xmlns:apkt="http://acmepacket.com/siprec/extensiondata"><apkt:callingParty>false</apkt:callingParty></extensiondata></participant>
<participant id="ZXI=" session="c2Vzc2lvbg=="><nameID aor="sip:caller@a.example"><name>caller</name></nameID><send>czE=</send>
<extensiondata xmlns:apkt="http://acmepacket.com/siprec/extensiondata"><apkt:callingParty>true</apkt:callingParty>
<apkt:header label="Call-ID"><value>134485@a.example</value></apkt:header></extensiondata></participant>
<stream id="czI=" session="c2Vzc2lvbg=="><label>16777227</label><mode>separate</mode></stream>
<stream id="czE=" session="c2Vzc2lvbg=="><label>16777228</label><mode>separate</mode></stream></recording>"#;

/// Sonus: prefixes, AORs without a scheme, the first line is the callee's, the caller in `callData`.
pub(crate) const SONUS: &str = r#"<tns:recording xmlns:tns='urn:ietf:params:xml:ns:recording'><tns:datamode>complete</tns:datamode>
<tns:group group_id="Zw=="><callData xmlns='urn:ietf:params:xml:ns:callData'>
<fromhdr>"Desk 8500" &lt;sip:caller@a.example&gt;;tag=x</fromhdr><tohdr>&lt;sip:callee@b.example&gt;</tohdr><callid>2da553f7</callid></callData></tns:group>
<tns:session session_id="c2Vzc2lvbg=="><tns:group-ref>Zw==</tns:group-ref></tns:session>
<tns:participant participant_id="cDE="><tns:nameID aor="caller@a.example"><tns:name>Desk 8500</tns:name></tns:nameID></tns:participant>
<tns:participant participant_id="cDI="><tns:nameID aor="callee@b.example"><tns:name> </tns:name></tns:nameID></tns:participant>
<tns:stream stream_id="czE=" session_id="c2Vzc2lvbg=="><tns:label>1</tns:label></tns:stream>
<tns:stream stream_id="czI=" session_id="c2Vzc2lvbg=="><tns:label>2</tns:label></tns:stream>
<tns:participantstreamassoc participant_id="cDE="><tns:send>czI=</tns:send><tns:recv>czE=</tns:recv></tns:participantstreamassoc>
<tns:participantstreamassoc participant_id="cDI="><tns:send>czE=</tns:send><tns:recv>czI=</tns:recv></tns:participantstreamassoc>
</tns:recording>"#;

/// OpenSIPS before it had streams' owners: participants and streams, and nothing that ties them; times without
/// a colon in their zone.
pub(crate) const OPENSIPS: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns='urn:ietf:params:xml:ns:recording:1'>
	<datamode>complete</datamode>
	<session session_id="c2Vzc2lvbg=="><sipSessionID>2d8abbf0@a.example</sipSessionID></session>
	<participant participant_id="ZXI="><nameID aor="sip:caller@a.example"><name>test_user;lang=en-US;id=22</name></nameID></participant>
	<participant participant_id="ZWU="><nameID aor="sip:callee@b.example"/></participant>
	<stream stream_id="czE=" session_id="c2Vzc2lvbg=="><label>0</label></stream>
	<stream stream_id="czI=" session_id="c2Vzc2lvbg=="><label>1</label></stream>
	<sessionrecordingassoc session_id="c2Vzc2lvbg=="><associate-time>2026-01-21T16:24:58+0000</associate-time></sessionrecordingassoc>
</recording>"#;

/// BroadWorks: another root and namespace, addresses as elements, one mixed stream, deeper than RFC 7865.
pub(crate) const BROADWORKS: &str = r#"<recording_metadata xmlns="urn:ietf:params:xml:ns:siprec"><dataMode>complete</dataMode>
<recording id="urn:uuid:e76f6cf1"><requestor>SRC</requestor><type>selective</type></recording>
<session id="urn:uuid:79b2fcd8"><associate-time>2026-01-13T14:48:35-05:00</associate-time></session>
<participant id="urn:uuid:p1" session="urn:uuid:79b2fcd8"><aor>sip:callee@b.example</aor><name>Bob</name><send>urn:uuid:s1</send></participant>
<participant id="urn:uuid:p2" session="urn:uuid:79b2fcd8"><aor>sip:caller@a.example;user=phone</aor><send>urn:uuid:s1</send></participant>
<stream id="urn:uuid:s1" session="urn:uuid:79b2fcd8"><label>1</label><mode>mixed</mode></stream>
<extensionData id="urn:uuid:x" parent="urn:uuid:e76f6cf1"><broadWorksRecordingMetadata xmlns="http://schema.broadsoft.com/broadworksCallRecording">
<extTrackingID>18:1</extTrackingID><callType><origCall><callingPartyNumber>sip:caller@a.example</callingPartyNumber></origCall></callType>
</broadWorksRecordingMetadata></extensionData></recording_metadata>"#;

/// Intrado: one line, one participant, who has a role.
pub(crate) const INTRADO: &str = r#"<recording xmlns='urn:ietf:params:xml:ns:recording:1'><dataMode>complete</dataMode>
<session session_id="c2Vzc2lvbg=="/><stream stream_id="czE=" session_id="c2Vzc2lvbg=="><label>1</label></stream>
<participant participant_id="ZXI="><nameID aor="caller@10.105.190.136:5060"><name xml:lang="en"></name></nameID><channel>SIP/911202</channel><role>calling</role></participant>
<participantstreamassoc participant_id="ZXI="><send>czE=</send><recv>czE=</recv></participantstreamassoc></recording>"#;
