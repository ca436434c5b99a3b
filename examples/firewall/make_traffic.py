#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes traffic.pcap: real servers and clients on loopback, captured, then partly spoilt.

    sudo python3 make_traffic.py [traffic.pcap]

Web, DNS, a remote shell's keystrokes, syslog, ICMP echo and a protocol that nobody serves, over IPv4
(127.7.0.0/16, so that nothing else on the machine gets in) and IPv6 (::1, these ports only);
IPv4 and IPv6 options are set by the sockets themselves. Afterwards every fifth frame gets
one to three VLAN tags, some datagrams are cut into fragments, and every ninth frame is damaged so
that each cookie of enum fw_cookie but FW_INTERNAL is thrown several times. What is done to a frame
depends on its number alone.

Needs Linux and the right to open packet sockets; changes no setting.
"""
import http.client
import http.server
import os
import random
import select
import socket
import struct
import sys
import tempfile
import threading
import time

SERVER4, CLIENT4, LOOPBACK6 = "127.7.0.1", "127.7.0.2", "::1"
WEB, DNS, SHELL, SYSLOG, TELNET, IRC = 8080, 5353, 2222, 5514, 23, 6667
PORTS = {WEB, DNS, SHELL, SYSLOG, TELNET, IRC}
PACKET_OUTGOING = 4
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6, ETH_P_8021Q, ETH_P_8021AD = 3, 0x0800, 0x86DD, 0x8100, 0x88A8
TCP, UDP, ICMP, ICMPV6, DSTOPTS = 6, 17, 1, 58, 60
UNSERVED_PROTOCOL = 253
MAX_FRAME = 1514


# ---- capture ----

class Capture:
    """Frames as they arrive at the loopback device, from start to stop."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.bind(("lo", 0))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.frames = []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()

    def loop(self):
        while True:
            ready, _, _ = select.select([self.socket], [], [], 0.2)
            if not ready:
                if self.done.is_set():
                    return
                continue
            frame, address = self.socket.recvfrom(1 << 17)
            if address[2] != PACKET_OUTGOING and is_ours(frame) and len(frame) <= MAX_FRAME:
                self.frames.append((time.time(), frame))

    def stop(self):
        self.done.set()
        self.thread.join()
        self.socket.close()
        return self.frames


def is_ours(frame):
    ethertype = struct.unpack_from(">H", frame, 12)[0]
    if ethertype == ETH_P_IP:
        return frame[26:28] == b"\x7f\x07" and frame[30:32] == b"\x7f\x07"
    if ethertype != ETH_P_IPV6:
        return False
    protocol, offset = ipv6_transport(frame, 14)
    if protocol == ICMPV6:
        return True
    return protocol in (TCP, UDP) and bool(PORTS & set(struct.unpack_from(">HH", frame, offset)))


def ipv6_transport(frame, start):
    """The transport protocol of a good IPv6 packet, and where its header begins."""
    protocol, offset = frame[start + 6], start + 40
    while protocol in (0, 43, DSTOPTS):
        protocol, offset = frame[offset], offset + 8 + 8 * frame[offset + 1]
    return protocol, offset


# ---- servers ----

class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass


class Server6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


def serve_web(folder):
    def handler(*args):
        return Quiet(*args, directory=folder)
    for server in (http.server.ThreadingHTTPServer((SERVER4, WEB), handler),
                   Server6((LOOPBACK6, WEB), handler)):
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()


def listener(family, kind, address, port):
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    if kind == socket.SOCK_STREAM:
        s.listen(8)
    return s


def serve_stream(s, answer):
    """Answers each chunk of each connection by `answer(chunk)`."""
    def connection(c):
        with c:
            while chunk := c.recv(4096):
                c.sendall(answer(chunk))

    def loop():
        while True:
            c, _ = s.accept()
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=connection, args=(c,), daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()


def serve_datagrams(s, answer):
    def loop():
        while True:
            data, sender = s.recvfrom(4096)
            reply = answer(data)
            if reply:
                s.sendto(reply, sender)
    threading.Thread(target=loop, daemon=True).start()


def dns_answer(query):
    """An A record of 192.0.2.1 for whatever is asked (RFC 1035)."""
    ident = query[:2]
    question = query[12:]
    record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 300, 4) + bytes([192, 0, 2, 1])
    return ident + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + question + record


def dns_query(ident, name):
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"
    return struct.pack(">HHHHHH", ident, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">HH", 1, 1)


# ---- clients ----

FAMILIES = ((socket.AF_INET, SERVER4, CLIENT4), (socket.AF_INET6, LOOPBACK6, LOOPBACK6))


def browse(server, client, paths):
    connection = http.client.HTTPConnection(server, WEB, timeout=5, source_address=(client, 0))
    for path in paths:
        connection.request("GET", path, headers={"User-Agent": "backstop-traffic"})
        connection.getresponse().read()
    connection.close()


def type_keys(family, server, client, port, lines):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.bind((client, 0))
        s.settimeout(5)
        s.connect((server, port))
        for line in lines:
            s.sendall(line.encode() + b"\n")
            s.recv(4096)


def ask_names(family, server, client, count, options=()):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        for level, name, value in options:
            s.setsockopt(level, name, value)
        s.bind((client, 0))
        s.settimeout(5)
        for i in range(count):
            s.sendto(dns_query(i, f"host{i}.example.net"), (server, DNS))
            s.recv(4096)


def log_lines(family, server, client, count, rng):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.bind((client, 0))
        for i in range(count):
            text = "<34>1 traffic app %d - %s" % (i, "x" * rng.randrange(400))
            s.sendto(text.encode(), (server, SYSLOG))
            time.sleep(0.001)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ping(family, server, count):
    """The kernel answers; for IPv6 it fills in the checksum too."""
    protocol = ICMP if family == socket.AF_INET else ICMPV6
    kind = 8 if family == socket.AF_INET else 128
    with socket.socket(family, socket.SOCK_RAW, protocol) as s:
        for sequence in range(count):
            body = struct.pack(">HH", 0x4253, sequence) + bytes(range(48))
            message = struct.pack(">BBH", kind, 0, 0) + body
            if family == socket.AF_INET:
                message = struct.pack(">BBH", kind, 0, checksum(message)) + body
            s.sendto(message, (server, 0))
            time.sleep(0.001)


def unserved(count):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, UNSERVED_PROTOCOL) as s:
        s.bind((CLIENT4, 0))
        for i in range(count):
            s.sendto(b"nobody serves this %d" % i, (SERVER4, 0))
            time.sleep(0.001)


IPV4_OPTIONS = (
    bytes([7, 15, 4]) + bytes(12) + b"\1",        # record route, padded by a no-operation
    bytes([68, 12, 5, 0]) + bytes(8),             # timestamps
    bytes([1, 1, 1, 1]),                          # four no-operations
)
IPV6_PADDING = bytes([0, 0, 1, 4, 0, 0, 0, 0])    # next header (set by the kernel), length, PadN
IPV6_EXPERIMENT = bytes([0, 1, 30, 12]) + bytes(12) # an option to be skipped if unknown (RFC 4727)


def run_traffic():
    rng = random.Random(20240)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i in range(16):
            with open(os.path.join(folder, f"page{i}.html"), "wb") as page:
                page.write(b"<p>" + rng.randbytes(rng.randrange(40, 480)).hex().encode())
            paths.append(f"/page{i}.html")
        paths.append("/missing.html")
        serve_web(folder)
        for family, server, _ in FAMILIES:
            for port in (SHELL, TELNET, IRC):
                serve_stream(listener(family, socket.SOCK_STREAM, server, port), bytes.upper)
            serve_datagrams(listener(family, socket.SOCK_DGRAM, server, DNS), dns_answer)
            serve_datagrams(listener(family, socket.SOCK_DGRAM, server, SYSLOG), lambda _: None)

        capture = Capture()
        keys = ["ls -l", "cd src", "make check", "git log --oneline", "exit"]
        ipv6 = socket.IPPROTO_IPV6
        for turn in range(4):
            for family, server, client in FAMILIES:
                for _ in range(4):
                    browse(server, client, rng.sample(paths, 5))
                type_keys(family, server, client, SHELL, keys * 4)
                ask_names(family, server, client, 12)
                log_lines(family, server, client, 15, rng)
                ping(family, server, 6)
            type_keys(socket.AF_INET, SERVER4, CLIENT4, TELNET, keys[:2])
            type_keys(socket.AF_INET6, LOOPBACK6, LOOPBACK6, IRC, keys[:2])
            for options in IPV4_OPTIONS:
                ask_names(socket.AF_INET, SERVER4, CLIENT4, 5,
                          [(socket.IPPROTO_IP, socket.IP_OPTIONS, options)])
            ask_names(socket.AF_INET6, LOOPBACK6, LOOPBACK6, 5,
                      [(ipv6, socket.IPV6_HOPOPTS, IPV6_PADDING)])
            ask_names(socket.AF_INET6, LOOPBACK6, LOOPBACK6, 5,
                      [(ipv6, socket.IPV6_HOPOPTS, IPV6_PADDING),
                       (ipv6, socket.IPV6_DSTOPTS, IPV6_EXPERIMENT)])
            unserved(3)
        time.sleep(0.3)
        return capture.stop()


# ---- fragments, tags, damage: each by a frame's number alone ----

def ethertype_at(frame):
    """The EtherType behind the tags, where what follows it begins, and the number of tags."""
    offset, tags = 12, 0
    while struct.unpack_from(">H", frame, offset)[0] in (ETH_P_8021Q, ETH_P_8021AD):
        offset, tags = offset + 4, tags + 1
    return struct.unpack_from(">H", frame, offset)[0], offset + 2, tags


def with_ipv4_checksum(frame, start):
    header = (frame[start] & 15) * 4
    struct.pack_into(">H", frame, start + 10, 0)
    struct.pack_into(">H", frame, start + 10, checksum(bytes(frame[start:start + header])))
    return frame


def fragments(frame):
    """An IPv4 datagram without options in two fragments, cut at a multiple of eight."""
    payload = frame[34:]
    cut = len(payload) // 2 // 8 * 8
    parts = []
    for offset, part, more in ((0, payload[:cut], True), (cut, payload[cut:], False)):
        piece = bytearray(frame[:34] + part)
        struct.pack_into(">H", piece, 16, 20 + len(part))
        struct.pack_into(">H", piece, 20, (0x2000 if more else 0) | offset // 8)
        parts.append(bytes(with_ipv4_checksum(piece, 14)))
    return parts


def cut_datagrams(frames):
    out, seen = [], 0
    for stamp, frame in frames:
        if frame[12:15] == b"\x08\x00\x45" and frame[23] == UDP and len(frame) > 120:
            seen += 1
            if seen % 6 == 0:
                out += [(stamp, part) for part in fragments(frame)]
                continue
        out.append((stamp, frame))
    return out


def tagged(frame, number):
    if number % 5 != 2:
        return frame
    outer = struct.pack(">HH", ETH_P_8021AD, 100 + number % 3)
    inner = struct.pack(">HH", ETH_P_8021Q, 0x2000 | 10 + number % 7)
    if number % 25 != 2:
        tags = inner
    elif number % 100 != 2:
        tags = outer + inner
    else:
        tags = outer + outer + inner # one more than the filter reads: not IP to it
    return frame[:12] + tags + frame[12:]


class Frame:
    """A good frame taken apart, for the damages to look at."""

    def __init__(self, data):
        self.data = bytearray(data)
        self.ethertype, self.start, self.tags = ethertype_at(data)
        self.protocol = self.transport = None
        if self.tags > 2:
            self.ethertype = None
        elif self.ethertype == ETH_P_IP:
            fragment = struct.unpack_from(">H", data, self.start + 6)[0] & 0x1FFF
            self.transport = self.start + (data[self.start] & 15) * 4
            self.protocol = None if fragment else data[self.start + 9]
        elif self.ethertype == ETH_P_IPV6:
            self.protocol, self.transport = ipv6_transport(data, self.start)

    def shorten_payload(self, size):
        """The same packet with `size` bytes of transport, its IP header adjusted."""
        del self.data[self.transport + size:]
        if self.ethertype == ETH_P_IP:
            struct.pack_into(">H", self.data, self.start + 2, len(self.data) - self.start)
            with_ipv4_checksum(self.data, self.start)
        else:
            struct.pack_into(">H", self.data, self.start + 4, len(self.data) - self.start - 40)

    def put(self, offset, value):
        self.data[offset] = value


def is_ip4(f):
    return f.ethertype == ETH_P_IP


def is_ip6(f):
    return f.ethertype == ETH_P_IPV6


def has_extension(f):
    return is_ip6(f) and f.transport > f.start + 40


def seven_extensions(f):
    first = f.data[f.start + 6]
    f.data[f.start + 6] = DSTOPTS
    chain = b"".join(bytes([first if i == 6 else DSTOPTS, 0, 1, 4, 0, 0, 0, 0]) for i in range(7))
    f.data[f.start + 40:f.start + 40] = chain
    length = struct.unpack_from(">H", f.data, f.start + 4)[0]
    struct.pack_into(">H", f.data, f.start + 4, length + len(chain))


def wrong_udp_length(f, number):
    length = 7 if number % 2 else len(f.data) - f.transport + 1
    struct.pack_into(">H", f.data, f.transport + 4, length)


def cut(f, size):
    del f.data[size:]


# (cookie, whether it can be done to a frame, how)
DAMAGES = (
    (1, lambda f: True, lambda f, n: cut(f, n % 14)),
    (2, lambda f: f.tags in (1, 2), lambda f, n: cut(f, 14 + 4 * (f.tags - 1) + n % 4)),
    (3, is_ip4, lambda f, n: cut(f, f.start + n % 20)),
    (4, is_ip4, lambda f, n: f.put(f.start, 0x50 | f.data[f.start] & 15)),
    (5, is_ip4, lambda f, n: f.put(f.start, 0x40 | n % 5)),
    (6, is_ip4, lambda f, n: cut(f, len(f.data) - 1 - n % 7)),
    (7, is_ip4, lambda f, n: f.put(f.start + 8, f.data[f.start + 8] ^ (1 << n % 8))),
    (8, is_ip6, lambda f, n: cut(f, f.start + n % 40)),
    (9, is_ip6, lambda f, n: f.put(f.start, 0x40)),
    (10, is_ip6, lambda f, n: cut(f, len(f.data) - 1 - n % 7)),
    (11, has_extension, lambda f, n: f.put(f.start + 41, 200)),
    (12, is_ip6, lambda f, n: seven_extensions(f)),
    (13, lambda f: f.protocol == TCP, lambda f, n: f.shorten_payload(n % 20)),
    (14, lambda f: f.protocol == TCP, lambda f, n: f.put(f.transport + 12, (n % 5) << 4)),
    (15, lambda f: f.protocol == UDP, lambda f, n: f.shorten_payload(n % 8)),
    (16, lambda f: f.protocol == UDP, wrong_udp_length),
    (17, lambda f: f.protocol in (ICMP, ICMPV6), lambda f, n: f.shorten_payload(n % 8)),
)


def damaged(frames):
    """Every ninth frame damaged, by the possible way that was taken least often so far."""
    times = {cookie: 0 for cookie, _, _ in DAMAGES}
    out = []
    for number, (stamp, frame) in enumerate(frames):
        if number % 9 == 4:
            parsed = Frame(frame)
            possible = [d for d in DAMAGES if d[1](parsed)]
            cookie, _, spoil = min(possible, key=lambda d: times[d[0]])
            times[cookie] += 1
            spoil(parsed, number)
            frame = bytes(parsed.data)
        out.append((stamp, frame))
    return out, times


def write_pcap(path, frames):
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for stamp, frame in frames:
            seconds, micros = divmod(round(stamp * 1_000_000), 1_000_000)
            out.write(struct.pack("<IIII", seconds, micros, len(frame), len(frame)) + frame)


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "traffic.pcap"
    frames = cut_datagrams(run_traffic())
    frames = [(stamp, tagged(frame, i)) for i, (stamp, frame) in enumerate(frames)]
    frames, times = damaged(frames)
    write_pcap(path, frames)
    print(f"{path}: {len(frames)} packets, {os.path.getsize(path)} bytes, "
          f"{sum(times.values())} damaged: "
          + ", ".join(f"cookie {cookie} {count}x" for cookie, count in times.items()))


if __name__ == "__main__":
    main()
