import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.net.InetSocketAddress;
import java.util.HashMap;
import java.util.Map;
import org.apache.iceberg.CatalogUtil;
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

/** Iceberg's REST catalog over its JDBC catalog, on 127.0.0.1: `RestCatalog PORT PROPERTIES.json`. */
public class RestCatalog {

  /** Plain local files, since Iceberg's own need Hadoop, and for `s3://` Iceberg's S3FileIO. */
  public static class AnyFiles implements FileIO {
    private Map<String, String> properties = Map.of();
    private FileIO store;

    @Override
    public void initialize(Map<String, String> given) {
      properties = given;
    }

    @Override
    public InputFile newInputFile(String path) {
      return path.startsWith("s3") ? store().newInputFile(path) : Files.localInput(local(path));
    }

    @Override
    public OutputFile newOutputFile(String path) {
      if (path.startsWith("s3")) {
        return store().newOutputFile(path);
      }
      File file = local(path);
      file.getParentFile().mkdirs();
      return Files.localOutput(file);
    }

    @Override
    public void deleteFile(String path) {
      if (path.startsWith("s3")) {
        store().deleteFile(path);
      } else {
        local(path).delete();
      }
    }

    private synchronized FileIO store() {
      if (store == null) {
        store = CatalogUtil.loadFileIO("org.apache.iceberg.aws.s3.S3FileIO", properties, null);
      }
      return store;
    }

    private static File local(String path) {
      return new File(path.replaceFirst("^file:(//)?", ""));
    }
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, String> properties = new HashMap<>();
    properties.put("io-impl", AnyFiles.class.getName());
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
