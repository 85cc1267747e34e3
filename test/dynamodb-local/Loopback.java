import java.net.InetAddress;
import java.net.InetSocketAddress;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import software.amazon.dynamodb.services.local.server.LocalDynamoDBRequestHandler;
import software.amazon.dynamodb.services.local.server.LocalDynamoDBServerHandler;

/**
 * DynamoDB Local in memory, on a free port of the loopback address, which its own main cannot be bound to. Prints the
 * port. Telemetry is off: it is that main which would turn it on.
 */
final class Loopback {
    public static void main(String[] args) throws Exception {
        var requests = new LocalDynamoDBRequestHandler(0, true, null, true, false);
        var server = new Server(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        server.setHandler(new LocalDynamoDBServerHandler(requests, null));
        server.start();
        System.out.println(((ServerConnector) server.getConnectors()[0]).getLocalPort());
        server.join();
    }
}
