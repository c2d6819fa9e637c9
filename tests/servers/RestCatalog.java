import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.util.HashMap;
import java.util.Map;
import org.apache.iceberg.Files;
import org.apache.iceberg.io.FileIO;
import org.apache.iceberg.io.InputFile;
import org.apache.iceberg.io.OutputFile;
import org.apache.iceberg.jdbc.JdbcCatalog;
import org.apache.iceberg.rest.RESTCatalogAdapter;
import org.apache.iceberg.rest.RESTCatalogServlet;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;
import java.net.InetSocketAddress;

/** Iceberg's REST catalog over its JDBC catalog, on 127.0.0.1: `RestCatalog PORT PROPERTIES.json`. */
public class RestCatalog {

  /** Plain local files. Iceberg's own needs Hadoop. */
  public static class LocalFiles implements FileIO {
    @Override
    public InputFile newInputFile(String path) {
      return Files.localInput(local(path));
    }

    @Override
    public OutputFile newOutputFile(String path) {
      File file = local(path);
      file.getParentFile().mkdirs();
      return Files.localOutput(file);
    }

    @Override
    public void deleteFile(String path) {
      local(path).delete();
    }

    private static File local(String path) {
      return new File(path.replaceFirst("^file:(//)?", ""));
    }
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, String> properties = new HashMap<>();
    properties.put("io-impl", LocalFiles.class.getName());
    new ObjectMapper()
        .readTree(new File(arguments[1]))
        .fields()
        .forEachRemaining(each -> properties.put(each.getKey(), each.getValue().asText()));
    JdbcCatalog catalog = new JdbcCatalog();
    catalog.initialize("carlake", properties);

    ServletContextHandler context = new ServletContextHandler(ServletContextHandler.NO_SESSIONS);
    context.addServlet(new ServletHolder(new RESTCatalogServlet(new RESTCatalogAdapter(catalog))), "/*");
    Server server = new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])));
    server.setHandler(context);
    server.start();
    server.join();
  }
}
